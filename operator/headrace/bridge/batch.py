"""Messages that were received at once, kept by columns: an object for each would cost more than moving it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import cast

from headrace.api.topic import base_topic
from headrace.bridge.pulsar_library import Message, MessageId

Position = tuple[int, int, int]
"""Ledger, entry, index in the batch: grows along a partition's topic."""

NOWHERE: Position = (-1, -1, -1)

_APART = "|apart"


def apart(partition: str) -> str:
    """The name under which messages of *partition* are pushed that the client acknowledged itself, because it could not
    read them: the line below which nothing is pushed may have passed them already."""
    return partition + _APART


def topic_of(partition: str) -> str:
    """The topic, without ``-partition-N``, of a name in a batch."""
    return base_topic(partition.removesuffix(_APART))


def is_apart(partition: str) -> bool:
    """Whether *partition* is such a name."""
    return partition.endswith(_APART)


def position(identity: MessageId) -> Position:
    """A message's position in its partition."""
    return identity.ledger_id(), identity.entry_id(), identity.batch_index()


@dataclass(slots=True)
class Item:
    """A message that is more than an entry for the target."""

    entry: bytes = b""
    """For the target; empty when it is a dead letter."""
    dead_letter: bytes = b""
    """An outbox record of a dead letter or a retry letter, or empty."""
    reason: str | None = None
    """Why it is a letter; None when it is none."""
    retried: bool = False
    """It is a letter for another attempt."""
    passed: bool = False
    """It is somebody's letter, and stays where it lies; there is nothing for Valkey."""
    deduplication_key: str = ""
    cache_key: str = ""
    cache_value: bytes = b""
    refused: Callable[[str, str], Item] | None = None
    """Makes the letter of a message that Valkey refuses, of a reason and a text."""

    @property
    def size(self) -> int:
        """Bytes, about."""
        return max(len(self.entry), len(self.dead_letter), len(self.cache_value))


Entry = bytes | Item
"""What a message becomes in Valkey: mostly nothing but the entry for the target."""


@dataclass(slots=True)
class Batch:
    """Messages in the order of their arrival."""

    partitions: list[str]
    """The partition's topic of each."""
    ids: list[MessageId]
    entries: list[Entry]
    messages: Sequence[Message | None] = ()
    """The messages themselves, None for one that the client did not give out; none of them when what is pushed needs no
    witness."""

    def __len__(self) -> int:
        return len(self.entries)

    def size(self) -> int:
        """Bytes, about: those that its messages become in Valkey."""
        if self.plain():
            return sum(map(len, cast(list[bytes], self.entries)))
        return sum(each.size if isinstance(each, Item) else len(each) for each in self.entries)

    def head(self, number: int) -> Batch:
        """The first *number* messages."""
        if number >= len(self):
            return self
        return Batch(
            self.partitions[:number], self.ids[:number], self.entries[:number], self.messages and self.messages[:number]
        )

    def tail(self, number: int) -> Batch:
        """All but the first *number* messages."""
        return Batch(
            self.partitions[number:], self.ids[number:], self.entries[number:], self.messages and self.messages[number:]
        )

    def part(self, first: int, end: int) -> Batch:
        """The messages from number *first* on, before number *end*."""
        return Batch(
            self.partitions[first:end],
            self.ids[first:end],
            self.entries[first:end],
            self.messages and self.messages[first:end],
        )

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """One batch of several."""
        messages: list[Message | None] = []
        found = cls([], [], [], messages)
        for part in parts:
            found.partitions += part.partitions
            found.ids += part.ids
            found.entries += part.entries
            messages += part.messages or [None] * len(part)
        return found

    def without(self, places: Collection[int]) -> Batch:
        """All but the messages at *places*."""
        left = [number for number in range(len(self)) if number not in places]
        return self._pick(left)

    def with_letters(self, places: Sequence[int], reasons: Sequence[bytes], texts: Sequence[bytes]) -> Batch:
        """With the letters of the messages at *places*, which Valkey refused, in their stead."""
        entries = list(self.entries)
        for place, reason, text in zip(places, reasons, texts, strict=True):
            refused = entries[place]
            assert isinstance(refused, Item)
            assert refused.refused is not None
            entries[place] = refused.refused(reason.decode(), text.decode(errors="replace"))
        return Batch(self.partitions, self.ids, entries, self.messages)

    def last_cache_key(self) -> str:
        """The last message's that has one, or empty."""
        items = (entry for entry in reversed(self.entries) if isinstance(entry, Item))
        return next((item.cache_key for item in items if item.cache_key), "")

    def plain(self) -> bool:
        """Whether all messages are nothing but entries for the target."""
        return Item not in set(map(type, self.entries))

    def reasons(self) -> list[tuple[str, str]]:
        """The partition of each dead letter, and why it is one."""
        if self.plain():
            return []
        return [
            (partition, entry.reason)
            for partition, entry in zip(self.partitions, self.entries, strict=True)
            if isinstance(entry, Item) and entry.reason is not None
        ]

    def passed(self) -> list[str]:
        """The partition of each message that is passed over."""
        if self.plain():
            return []
        pairs = zip(self.partitions, self.entries, strict=True)
        return [partition for partition, entry in pairs if isinstance(entry, Item) and entry.passed]

    def places(self) -> dict[str, list[int]]:
        """Where in the batch each partition's messages stand; the partitions as in :meth:`last`."""
        found: dict[str, list[int]] = {}
        for place, partition in enumerate(self.partitions):
            found.setdefault(partition, []).append(place)
        return found

    def positions(self) -> dict[str, list[Position]]:
        """The positions of each partition's messages; the partitions as in :meth:`last`."""
        return {partition: list(map(position, ids)) for partition, ids in self.by_partition().items()}

    def last(self) -> dict[str, MessageId]:
        """The last message's id, by partition."""
        return dict(zip(self.partitions, self.ids, strict=True))

    def last_places(self) -> dict[str, int]:
        """Where in the batch the last message of each partition stands."""
        return dict(zip(self.partitions, range(len(self)), strict=True))

    def highest_places(self) -> dict[str, int]:
        """Where the message of each partition stands that lies highest in it; the partitions as in :meth:`last`."""
        ids = self.ids
        return {
            partition: max(places, key=lambda place: position(ids[place]))
            for partition, places in self.places().items()
        }

    def begins_behind(self, marks: Mapping[str, Position]) -> list[str]:
        """Partitions of which the first message lies at or below their mark."""
        return [
            partition
            for partition, ids in self.by_partition().items()
            if position(ids[0]) <= marks.get(partition, NOWHERE)
        ]

    def behind(self, marks: Mapping[str, Position]) -> dict[str, int]:
        """How many messages lie at or below the mark of their partition, of the partitions of which any does."""
        found: dict[str, int] = {}
        for partition, ids in self.by_partition().items():
            mark = marks.get(partition, NOWHERE)
            if number := sum(position(identity) <= mark for identity in ids):
                found[partition] = number
        return found

    def beyond(self, marks: Mapping[str, Position]) -> Batch:
        """The messages above the marks, each once and each partition in order; the batch itself when that is all.

        A consumer whose connection broke in between begins again at the first message that was not acknowledged.
        """
        by_partition = self.by_partition()
        if all(
            position(ids[0]) > marks.get(partition, NOWHERE) and all(map(lt, ids, islice(ids, 1, None)))
            for partition, ids in by_partition.items()
        ):
            return self
        found: dict[tuple[str, Position], int] = {}
        for number, (partition, identity) in enumerate(zip(self.partitions, self.ids, strict=True)):
            if (place := position(identity)) > marks.get(partition, NOWHERE):
                found.setdefault((partition, place), number)
        return self._pick([number for _, number in sorted(found.items())])

    def _pick(self, places: list[int]) -> Batch:
        return Batch(
            [self.partitions[number] for number in places],
            [self.ids[number] for number in places],
            [self.entries[number] for number in places],
            self.messages and [self.messages[number] for number in places],
        )

    def by_partition(self) -> dict[str, list[MessageId]]:
        if len(set(self.partitions)) <= 1:
            return dict.fromkeys(self.partitions[:1], self.ids)
        found: defaultdict[str, list[MessageId]] = defaultdict(list)
        for partition, identity in zip(self.partitions, self.ids, strict=True):
            found[partition].append(identity)
        return found
