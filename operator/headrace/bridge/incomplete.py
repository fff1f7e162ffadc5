"""Messages in chunks that are not complete yet: no acknowledgement may pass the first chunk of one.

The client library puts a message together where its last chunk lies; messages behind its first chunk are given out
before. An acknowledgement of one of those, which stands for all before it, would take the first chunk away, and after
a crash the message could not be put together any more. So first chunks are remembered, in Valkey too, until the message
came, or the broker counts its first chunk as acknowledged: the client acknowledges what is incomplete for a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import valkey

from headrace.bridge.cursor import Place
from headrace.bridge.raw_entry import Chunk

MOST_REMEMBERED = 1000
"""Of each subscription. Only of what nobody waits for any more the oldest is forgotten."""


@dataclass
class Incomplete:
    """What is known of one message."""

    partition: str
    uuid: str
    of: int
    places: dict[int, Place] = field(default_factory=dict)
    """Where its chunks lie, by their numbers."""
    repeated: bool = False
    """A chunk lies there twice, and the client library gives such a message up."""
    awaited: bool = True
    """Its first chunk is not acknowledged."""
    tried: bool = False
    """The consumer was opened anew because of it."""

    @property
    def first(self) -> Place:
        """Where it begins, as far as is known."""
        return min(self.places.values())

    @property
    def last(self) -> Place:
        """Where it ends, as far as is known."""
        return max(self.places.values())

    @property
    def whole(self) -> bool:
        """Whether all chunks are there."""
        return len(self.places) == self.of

    def add(self, number: int, place: Place) -> None:
        """One more chunk."""
        if self.places.setdefault(number, place) != place:
            self.repeated = True


class IncompleteMessages:
    """Those of one subscription."""

    def __init__(self, client: valkey.Valkey, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}:incomplete"
        self._found: dict[str, Incomplete] = {}

    def load(self) -> None:
        """Read what is remembered."""
        stored: Any = self._client.hgetall(self._key)
        self._found = {name.decode(): _decoded(text) for name, text in stored.items()}

    def __bool__(self) -> bool:
        return bool(self._found)

    def all(self) -> list[Incomplete]:
        """All of them."""
        return list(self._found.values())

    def ceilings(self) -> dict[str, Place]:
        """For each partition the entry that no acknowledgement may reach."""
        found: dict[str, Place] = {}
        for each in self._found.values():
            if not each.awaited:
                continue
            found[each.partition] = min(found.get(each.partition, each.first), each.first)
        return found

    def add(self, partition: str, chunk: Chunk, place: Place) -> Incomplete:
        """A chunk was found; :meth:`keep` writes it down."""
        each = self._found.setdefault(_name(partition, chunk.uuid), Incomplete(partition, chunk.uuid, chunk.of))
        each.add(chunk.number, place)
        return each

    def keep(self, messages: Iterable[Incomplete]) -> None:
        """Write down what changed of *messages*."""
        if changed := {_name(each.partition, each.uuid): _encoded(each) for each in messages}:
            self._client.hset(self._key, mapping=changed)
        given_up = [name for name, each in self._found.items() if not each.awaited]
        self._drop(given_up[: max(len(self._found) - MOST_REMEMBERED, 0)])

    def arrived(self, partition: str, first: Place) -> None:
        """The message whose first chunk lies at *first* came."""
        self._drop([name for name, each in self._found.items() if each.partition == partition and each.first == first])

    def forget(self, partition: str) -> None:
        """The partition's topic is another one."""
        self._drop([name for name, each in self._found.items() if each.partition == partition])

    def settle(self, each: Incomplete) -> None:
        """It is dealt with."""
        self._drop([_name(each.partition, each.uuid)])

    def _drop(self, names: list[str]) -> None:
        for name in names:
            del self._found[name]
        if names:
            self._client.hdel(self._key, *names)


def _name(partition: str, uuid: str) -> str:
    return f"{partition}|{uuid}"


def _encoded(each: Incomplete) -> bytes:
    places = {str(number): place for number, place in each.places.items()}
    flags = [each.repeated, each.awaited, each.tried]
    return orjson.dumps([each.partition, each.uuid, each.of, places, flags])


def _decoded(text: bytes) -> Incomplete:
    partition, uuid, of, places, (repeated, awaited, tried) = orjson.loads(text)
    known = {int(number): (place[0], place[1]) for number, place in places.items()}
    return Incomplete(partition, uuid, of, known, repeated, awaited, tried)
