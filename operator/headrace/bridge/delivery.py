"""The Valkey half of Pulsar -> Valkey: one script a batch, with a watermark for each partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import valkey
from valkey.exceptions import OutOfMemoryError, ResponseError

from headrace.bridge.batch import Batch, Item, Position, position
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.scripts import script
from headrace.bridge.target import Target
from headrace.process.permission import NOT_PERMITTED, is_not_permitted


@dataclass(frozen=True)
class Delivered:
    """What became of a batch."""

    rest: Batch
    """What found no room, in order."""
    pushed: Counter[str] = field(default_factory=Counter)
    """Messages by partition."""
    duplicates: int = 0
    refused: list[tuple[str, Item]] = field(default_factory=list)
    """The partitions and letters of messages that Valkey would not take; they are pushed as letters."""
    unheard: int = 0
    """Published to a channel without subscribers."""
    limited: bool = False
    """Whether it is the rate limit that holds *rest*; else the target is full."""


def refusal_of(error: ResponseError) -> str | None:
    """The reason in one word when Valkey itself is well and took nothing, which a person mends; else None."""
    if isinstance(error, OutOfMemoryError):
        return "ValkeyFull"
    if is_not_permitted(error):
        return NOT_PERMITTED
    return "WrongType" if str(error).startswith("WRONGTYPE") else None


def _encode(position: Position | None) -> str:
    return ":".join(map(str, position)) if position else ""


def _decode(text: bytes) -> Position:
    ledger, entry, index = (int(part) for part in text.split(b":"))
    return ledger, entry, index


class DeliveryStore:
    """Pushes batches. Watermarks live in Valkey and are compared there, so that a replica that was frozen and
    wakes up with an old batch in hand pushes nothing twice."""

    def __init__(
        self,
        client: valkey.Valkey,
        *,
        target: Target,
        prefix: str,
        window_seconds: int,
        ttl_seconds: int,
        cache_prefix: str = "",
        once: bool = True,
        spread: bool = False,
        replay: str = "",
        bucket: TokenBucket | None = None,
    ) -> None:
        """*once*: what was pushed before is dropped; otherwise nothing is remembered of it. *spread*: the messages of a
        partition come to several replicas, in no order. *replay*: the id of the replay that pushes once more what lies
        below the watermark: it has one of its own."""
        self._client = client
        watermark = f"{prefix}:replay:{replay}:watermark" if replay else f"{prefix}:watermark"
        self._keys = [watermark if target.is_channel else target.key, watermark, f"{prefix}:dead-letters"]
        self._limit = target.key if target.is_channel else target.limit
        self._window_seconds = window_seconds
        self._ttl_seconds = ttl_seconds
        self._seen_prefix = f"{prefix}:seen:"
        self._cache_witness = cache_prefix
        self._once = once
        self._bucket_key = bucket.key if bucket else f"{prefix}:rate"
        self._rate = bucket.arguments if bucket else (0, 0)
        self._ids = DeliveredIds(client, prefix) if spread and once else None
        scripts = ("preflight", "bucket", "spread" if self._ids else "ordered", *target.scripts, "deliver")
        self._deliver = script(client, *scripts)
        self._marks: dict[str, Position] = {}

    @property
    def dead_letters(self) -> str:
        """The list that dead letters are pushed to, as outbox records."""
        return self._keys[2]

    def prove(self) -> None:
        """Raise what Valkey raises that would take no batch now."""
        self._client.ping()

    def load(self) -> None:
        """Read the watermarks."""
        if not self._once:
            self._client.ping()
            return
        found: Any = self._client.hgetall(self._keys[1])
        self._learn([part for pair in found.items() for part in pair])

    def _learn(self, pairs: Sequence[bytes]) -> None:
        self._marks = {name.decode(): _decode(mark) for name, mark in zip(pairs[::2], pairs[1::2], strict=True)}

    @property
    def marks(self) -> dict[str, Position]:
        """How far each partition was pushed, as far as this replica knows; nothing is known without `once`."""
        return self._marks

    def mark(self, partition: str) -> Position | None:
        """How far *partition* was pushed, as far as this replica knows."""
        return self._marks.get(partition)

    def behind(self, batch: Batch) -> set[str]:
        """Partitions of which *batch* holds messages that were pushed before."""
        return batch.behind(self._marks)

    def forget(self, partition: str) -> None:
        """Drop the watermark: the partition's topic is another one than it speaks of."""
        self._client.hdel(self._keys[1], partition)
        if self._ids:
            self._client.delete(self._ids.key(partition))
        self._marks.pop(partition, None)

    def push(self, batch: Batch, most: int | None = None) -> Delivered:
        """Push *batch*, at most *most* messages of it, in order, as far as there is room and the rate limit lets it."""
        rest, dropped, room, limited = batch, 0, most or len(batch), False
        refused: list[tuple[str, Item]] = []
        while True:
            fresh = rest.beyond(self._marks) if self._once else rest
            dropped += len(rest) - len(fresh)
            rest = fresh
            offered = rest.head(room)
            if not offered:
                return Delivered(rest, duplicates=dropped, refused=refused, limited=limited)
            ends = (
                {partition: position(identity) for partition, identity in offered.last().items()} if self._once else {}
            )
            status, *answer = self._call(offered, ends)
            if status == 1:
                if not self._ids:
                    self._marks |= ends
                seen, _, unheard = answer
                pushed = Counter(offered.partitions)
                pushed.subtract(offered.partitions[place] for place in seen)
                pushed.subtract(partition for partition, _ in offered.reasons())
                pushed.subtract(offered.passed())
                self._cache_witness = offered.last_cache_key() or self._cache_witness
                return Delivered(rest.tail(len(offered)), pushed, dropped + len(seen), refused, unheard, limited)
            if status == 0:
                room, limited = answer[0], bool(answer[1])
            elif status == -3:
                places, reasons, texts = answer
                rest = rest.with_letters(places, reasons, texts)
                letters = [(rest.partitions[place], rest.entries[place]) for place in places]
                refused += [(partition, entry) for partition, entry in letters if isinstance(entry, Item)]
            elif status == -2 and self._ids:
                again = self._ids.places(offered, answer[0])
                dropped += len(again)
                rest = rest.without(again)
            else:
                self._learn(answer[0])

    def _call(self, batch: Batch, ends: dict[str, Position]) -> list[Any]:
        arguments: list[str | bytes | int] = [self._limit, len(ends)]
        for partition, end in ends.items():
            arguments += (partition, _encode(self._marks.get(partition)), _encode(end))
        arguments += (len(batch), self._window_seconds, self._ttl_seconds, self._seen_prefix, self._cache_witness)
        width = 1 if batch.plain() else 5
        arguments.append(width)
        if width == 1:
            arguments += cast(list[bytes], batch.entries)
        else:
            for entry in batch.entries:
                item = entry if isinstance(entry, Item) else Item(entry)
                arguments += (item.entry, item.dead_letter, item.deduplication_key, item.cache_key, item.cache_value)
        keys = self._keys
        if self._ids:
            arguments += self._ids.arguments(batch)
            keys = [*keys, *map(self._ids.key, ends)]
        arguments += self._rate
        answer: list[Any] = self._deliver(keys=[*keys, self._bucket_key], args=arguments)
        return answer
