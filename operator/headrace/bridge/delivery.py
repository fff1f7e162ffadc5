"""The Valkey half of Pulsar -> Valkey: one script a batch, with a watermark for each partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import valkey

from headrace.bridge.scripts import script

Position = tuple[int, int, int]
"""Ledger, entry, index in the batch: grows along a partition's topic."""

NOWHERE: Position = (-1, -1, -1)


@dataclass(slots=True)
class Item:
    """One message, ready for Valkey."""

    partition: str
    """The partition's topic."""
    position: Position
    entry: bytes = b""
    """For the target list; empty when it is a dead letter."""
    dead_letter: bytes = b""
    """An outbox record, or empty."""
    reason: str | None = None
    deduplication_key: str = ""
    cache_key: str = ""
    cache_value: bytes = b""


@dataclass(frozen=True)
class Delivered:
    """What became of a batch."""

    rest: list[Item]
    """What found no room, in order."""
    pushed: int = 0
    duplicates: int = 0
    dead_letters: int = 0


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
        target: str,
        prefix: str,
        max_depth: int | None,
        window_seconds: int,
        ttl_seconds: int,
    ) -> None:
        self._client = client
        self._keys = [target, f"{prefix}:watermark", f"{prefix}:dead-letters"]
        self._max_depth = max_depth or 0
        self._window_seconds = window_seconds
        self._ttl_seconds = ttl_seconds
        self._deliver = script(client, "deliver")
        self._marks: dict[str, Position] = {}

    @property
    def dead_letters(self) -> str:
        """The list that dead letters are pushed to, as outbox records."""
        return self._keys[2]

    def load(self) -> None:
        """Read the watermarks."""
        found: Any = self._client.hgetall(self._keys[1])
        self._learn([part for pair in found.items() for part in pair])

    def _learn(self, pairs: Sequence[bytes]) -> None:
        self._marks = {name.decode(): _decode(mark) for name, mark in zip(pairs[::2], pairs[1::2], strict=True)}

    def mark(self, partition: str) -> Position | None:
        """How far *partition* was pushed, as far as this replica knows."""
        return self._marks.get(partition)

    def behind(self, items: Sequence[Item]) -> set[str]:
        """Partitions of which *items* holds messages that were pushed before."""
        return {item.partition for item in items if item.position <= self._marks.get(item.partition, NOWHERE)}

    def forget(self, partition: str) -> None:
        """Drop the watermark: the partition's topic is another one than it speaks of."""
        self._client.hdel(self._keys[1], partition)
        self._marks.pop(partition, None)

    def _fresh(self, items: Sequence[Item]) -> list[Item]:
        """The items that lie beyond the watermarks."""
        return [item for item in items if item.position > self._marks.get(item.partition, NOWHERE)]

    def push(self, items: Sequence[Item]) -> Delivered:
        """Push *items*, in order, as far as the target has room."""
        rest, dropped, room = list(items), 0, len(items)
        while True:
            fresh = self._fresh(rest)
            dropped += len(rest) - len(fresh)
            rest = fresh
            offered = rest[:room]
            if not offered:
                return Delivered(rest, duplicates=dropped)
            status, *answer = self._call(offered)
            if status == 1:
                self._advance(offered)
                pushed, seen, letters = answer
                return Delivered(rest[len(offered) :], pushed, dropped + seen, letters)
            if status == 0:
                room = answer[0]
            else:
                self._learn(answer)

    def _call(self, items: Sequence[Item]) -> list[Any]:
        ends: dict[str, Position] = {item.partition: item.position for item in items}
        arguments: list[str | bytes | int] = [self._max_depth, len(ends)]
        for partition, position in ends.items():
            arguments += (partition, _encode(self._marks.get(partition)), _encode(position))
        arguments += (len(items), self._window_seconds, self._ttl_seconds)
        plain = not any(item.dead_letter or item.deduplication_key or item.cache_key for item in items)
        if plain:
            arguments.append(1)
            arguments += [item.entry for item in items]
        else:
            arguments.append(5)
            for item in items:
                arguments += (item.entry, item.dead_letter, item.deduplication_key, item.cache_key, item.cache_value)
        answer: list[Any] = self._deliver(keys=self._keys, args=arguments)
        return answer

    def _advance(self, items: Sequence[Item]) -> None:
        for item in items:
            self._marks[item.partition] = item.position
