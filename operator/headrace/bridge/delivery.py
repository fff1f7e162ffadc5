"""The Valkey half of Pulsar -> Valkey: one script a batch, with a watermark for each partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import valkey
from valkey.exceptions import ResponseError

from headrace.bridge.batch import NOWHERE, Batch, Item, Position, position
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.incarnation import Witness
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.remembered import Memory, Remembered, encode
from headrace.bridge.scripts import proof, script
from headrace.bridge.target import Target
from headrace.process.failure import FULL, NOT_PERMITTED, WRONG_TYPE, failure_of

REDELIVERED = "Redelivered"
SEEN_KEY = "SeenKey"
OLDER = "BeforeBeginning"
"""Why messages are dropped: pushed before; its key was pushed inside the window; older than the subscription."""

_REFUSALS = {each.reason for each in (FULL, NOT_PERMITTED, WRONG_TYPE)}


@dataclass(frozen=True)
class Delivered:
    """What became of a batch."""

    rest: Batch
    """What found no room, in order."""
    pushed: Counter[str] = field(default_factory=Counter)
    """Messages by partition."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Messages by reason."""
    refused: list[tuple[str, Item]] = field(default_factory=list)
    """The partitions and letters of messages that Valkey would not take; they are pushed as letters."""
    unheard: int = 0
    """Published to a channel without subscribers."""
    limited: bool = False
    """Whether it is the rate limit that holds *rest*; else the target is full."""

    @property
    def duplicates(self) -> int:
        """Messages that were pushed before, or whose key was."""
        return self.dropped.total() - self.dropped[OLDER]


def refusal_of(error: ResponseError) -> str | None:
    """The reason in one word when Valkey itself is well and took nothing, which a person mends; else None."""
    reason = failure_of(error).reason
    return reason if reason in _REFUSALS else None


class OutOfStepError(Exception):
    """Another replica found that a topic is another one, and dropped what is remembered of it."""


class DeliveryStore:
    """Pushes batches. Watermarks live in Valkey and are compared there, so that a replica that was frozen and
    wakes up with an old batch in hand pushes nothing twice."""

    def __init__(
        self,
        client: valkey.Valkey,
        remembered: Remembered,
        *,
        target: Target,
        prefix: str,
        window_seconds: int,
        ttl_seconds: int,
        cache_prefix: str = "",
        keyed: bool = True,
        once: bool = True,
        spread: bool = False,
        bucket: TokenBucket | None = None,
    ) -> None:
        """*keyed*: messages may have a deduplication key. *once*: what was pushed before is dropped; otherwise nothing
        is remembered of it. *spread*: the messages of a partition come to several replicas, in no order."""
        self._client = client
        self._remembered = remembered
        self._target_key = "" if target.is_channel else target.key
        self._letters_key = f"{prefix}:dead-letters"
        self._limit = target.key if target.is_channel else target.limit
        self._window_seconds = window_seconds
        self._ttl_seconds = ttl_seconds
        self._seen_prefix = f"{prefix}:seen:" if keyed else ""
        self._cache_witness = cache_prefix
        self._once = once
        self._bucket_key = bucket.key if bucket else f"{prefix}:rate"
        self._rate = bucket.arguments if bucket else (0, 0)
        self._ids = DeliveredIds(client, remembered) if spread and once else None
        scripts = ("preflight", "bucket", "spread" if self._ids else "ordered", *target.scripts, "deliver")
        self._deliver, self._proof = script(client, *scripts), proof(client, *scripts)
        self._memory = Memory()
        self._floors: dict[str, Position] = {}
        self._low: dict[str, Position] = {}
        self.recognise: Callable[[str], None] = lambda partition: None
        """Returns when it is sure that a partition's topic is the one that is remembered: before anything of it is
        dropped. What it raises is raised by :meth:`push`."""

    @property
    def dead_letters(self) -> str:
        """The list that dead letters are pushed to, as outbox records."""
        return self._letters_key

    def prove(self) -> None:
        """Raise what Valkey raises that would take no batch now, whatever is in it."""
        fields: list[str | int] = ["", "", "", 0, ""] if self._once else []
        keys = [*self._keys(), self._remembered.ids("")] if self._ids else self._keys()
        fixed: list[str | int] = [0, self._window_seconds, self._ttl_seconds, self._seen_prefix, self._cache_witness, 1]
        arguments: list[str | bytes | int] = [self._limit, len(fields) // 5, *fields, *fixed, *self._rate]
        self._proof(keys=[*keys, self._bucket_key], args=arguments)

    def load(self) -> None:
        """Read what is remembered."""
        self._memory = self._remembered.load()
        if not self._once:
            self._memory.marks.clear()
            self._memory.witnesses.clear()
        memory = self._memory
        self._floors = {name: each.position for name, each in memory.beginnings.items() if each}
        names = self._floors.keys() | memory.marks.keys()
        self._low = {name: max(self._floors.get(name, NOWHERE), memory.marks.get(name, NOWHERE)) for name in names}

    def _learn(self) -> None:
        before = self._memory.epochs
        self.load()
        if self._memory.epochs != before:
            raise OutOfStepError

    @property
    def marks(self) -> dict[str, Position]:
        """How far each partition was pushed, as far as this replica knows; nothing is known without `once`."""
        return self._memory.marks

    @property
    def lines(self) -> dict[str, tuple[int, int]]:
        """Where messages come in no order: the entry up to which each partition was acknowledged."""
        return {partition: mark[:2] for partition, mark in self._memory.marks.items()}

    def known(self, partition: str) -> tuple[Position, Witness | None] | None:
        """Up to where, and by which message, *partition* is remembered; None when it is not."""
        mark, witness = self._memory.marks.get(partition), self._memory.witnesses.get(partition)
        if witness is not None:
            return max(mark or NOWHERE, witness.position), witness
        if mark is not None:
            return mark, None  # an older version wrote it
        beginning = self._memory.beginnings.get(partition)
        return (beginning.position, beginning) if beginning else None

    def make_sure(self, batch: Batch) -> None:
        """Make sure of the partitions of which *batch* begins with messages that are dropped; see :attr:`recognise`."""
        for partition in batch.begins_behind(self._low):
            self.recognise(partition)

    def forget(self, partition: str) -> None:
        """Drop what is remembered of *partition*: its topic is another one."""
        self._remembered.forget(partition, self._memory.epochs.get(partition, 0))

    def push(self, batch: Batch, most: int | None = None) -> Delivered:
        """Push *batch*, at most *most* messages of it, in order, as far as there is room and the rate limit lets it.

        Raises :class:`OutOfStepError`.
        """
        rest, room, limited = batch, most or len(batch), False
        dropped: Counter[str] = Counter()
        refused: list[tuple[str, Item]] = []
        while True:
            rest = self._fresh(rest, dropped)
            offered = rest.head(room)
            if not offered:
                return Delivered(rest, dropped=dropped, refused=refused, limited=limited)
            places = offered.highest_places() if self._ids else offered.last_places()
            ends = {partition: position(offered.ids[place]) for partition, place in places.items()}
            witnesses = self._witnesses(offered, places)
            status, *answer = self._call(offered, ends, witnesses)
            if status == 1:
                self._remember(ends, witnesses)
                seen, _, unheard = answer
                pushed = Counter(offered.partitions)
                pushed.subtract(offered.partitions[place] for place in seen)
                pushed.subtract(partition for partition, _ in offered.reasons())
                pushed.subtract(offered.passed())
                self._cache_witness = offered.last_cache_key() or self._cache_witness
                dropped[SEEN_KEY] += len(seen)
                return Delivered(rest.tail(len(offered)), pushed, dropped, refused, unheard, limited)
            if status == 0:
                room, limited = answer[0], bool(answer[1])
            elif status == -3:
                refusals, reasons, texts = answer
                rest = rest.with_letters(refusals, reasons, texts)
                letters = [(rest.partitions[place], rest.entries[place]) for place in refusals]
                refused += [(partition, entry) for partition, entry in letters if isinstance(entry, Item)]
            elif status == -2 and self._ids:
                again = self._ids.places(offered, answer[0])
                for partition in {offered.partitions[place] for place in again}:
                    self.recognise(partition)
                dropped[REDELIVERED] += len(again)
                rest = rest.without(again)
            else:
                self._learn()

    def _fresh(self, batch: Batch, dropped: Counter[str]) -> Batch:
        """What was not pushed before, in order."""
        if not self._once and not self._low:
            return batch
        fresh = batch.beyond(self._low)
        if fresh is not batch:
            for partition in batch.behind(self._low):
                self.recognise(partition)
            older = sum(batch.behind(self._floors).values())
            dropped[OLDER] += older
            dropped[REDELIVERED] += len(batch) - len(fresh) - older
        return fresh

    def _witnesses(self, batch: Batch, places: Mapping[str, int]) -> dict[str, Witness]:
        if not batch.messages:
            return {}
        messages = {partition: batch.messages[place] for partition, place in places.items()}
        return {partition: Witness.of(message) for partition, message in messages.items() if message is not None}

    def _remember(self, ends: Mapping[str, Position], witnesses: Mapping[str, Witness]) -> None:
        """As the script did."""
        memory = self._memory
        if self._once and not self._ids:
            memory.marks |= ends
            self._low |= ends
        for partition, witness in witnesses.items():
            known = memory.witnesses.get(partition)
            if not self._ids or known is None or witness.position > known.position:
                memory.witnesses[partition] = witness

    def _call(self, batch: Batch, ends: Mapping[str, Position], witnesses: Mapping[str, Witness]) -> list[Any]:
        if not self._once:
            ends = {}
        arguments: list[str | bytes | int] = [self._limit, len(ends)]
        for partition, end in ends.items():
            epoch, witness = self._memory.epochs.get(partition, 0), witnesses.get(partition)
            arguments += (partition, encode(self._memory.marks.get(partition)), encode(end), epoch)
            arguments.append(witness.encode() if witness else "")
        arguments += (len(batch), self._window_seconds, self._ttl_seconds, self._seen_prefix, self._cache_witness)
        width = 1 if batch.plain() else 5
        arguments.append(width)
        if width == 1:
            arguments += cast(list[bytes], batch.entries)
        else:
            for entry in batch.entries:
                item = entry if isinstance(entry, Item) else Item(entry)
                arguments += (item.entry, item.dead_letter, item.deduplication_key, item.cache_key, item.cache_value)
        keys = self._keys()
        if self._ids:
            arguments += self._ids.arguments(batch)
            keys += map(self._remembered.ids, ends)
        arguments += self._rate
        answer: list[Any] = self._deliver(keys=[*keys, self._bucket_key], args=arguments)
        return answer

    def _keys(self) -> list[str]:
        watermark = self._remembered.watermark
        return [self._target_key or watermark, watermark, self._letters_key, self._remembered.witness]
