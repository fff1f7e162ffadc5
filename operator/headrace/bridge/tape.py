"""What a subscriber of pub/sub received and nobody has put away yet. Pure.

A channel numbers nothing, so two subscribers cannot tell by the messages who has which. Marks can: a Valkey server
sends all it publishes to each subscriber in one order, so a message of our own stands at the same place in what each
of our replicas receives. A position is a mark and the number of messages after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Place:
    """A place in what a Valkey server publishes."""

    mark: int
    offset: int
    """Messages after the mark."""

    @classmethod
    def parse(cls, text: bytes) -> Place | None:
        """The inverse of ``str()``; None for the empty string."""
        mark, _, offset = text.partition(b" ")
        return cls(int(mark), int(offset)) if mark else None

    def __str__(self) -> str:
        return f"{self.mark} {self.offset}"


class Where(Enum):
    """Where a place lies, seen from a tape."""

    ON_IT = auto()
    BEFORE = auto()
    """The tape begins later: what lies between is not on it."""
    AHEAD = auto()
    """It was not received yet."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The oldest messages of a tape."""

    entries: list[bytes]
    lost: int
    """How many more there were that the tape had no room for."""
    end: Place
    """Up to where it reaches."""


@dataclass(slots=True)
class _Segment:
    """The messages between two marks; a number stands for so many that found no room."""

    mark: int
    offset: int = 0
    items: deque[bytes | int] = field(default_factory=deque)
    count: int = 0

    @property
    def end(self) -> Place:
        return Place(self.mark, self.offset + self.count)


class Tape:
    """Messages in the order in which the server published them. *limit_bytes*: how much of them is kept."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._segments: deque[_Segment] = deque()

    @property
    def newest_mark(self) -> int:
        """The number of the last mark; 0 when there is none yet."""
        return self._segments[-1].mark if self._segments else 0

    def __bool__(self) -> bool:
        return any(segment.count for segment in self._segments)

    def add(self, entry: bytes) -> None:
        """A message was received. What comes before the first mark is not ours."""
        if not self._segments:
            return
        segment = self._segments[-1]
        segment.count += 1
        if self._bytes + len(entry) <= self._limit:
            self._bytes += len(entry)
            segment.items.append(entry)
        elif segment.items and isinstance(segment.items[-1], int):
            segment.items[-1] += 1
        else:
            segment.items.append(1)

    def mark(self, number: int) -> None:
        """A mark was received."""
        self._segments.append(_Segment(number))

    def find(self, place: Place) -> Where:
        """Where *place* lies."""
        if place.mark > self.newest_mark:
            return Where.AHEAD
        for segment in self._segments:
            if segment.mark == place.mark:
                if place.offset < segment.offset:
                    return Where.BEFORE
                coming = segment is self._segments[-1] and place.offset > segment.end.offset
                return Where.AHEAD if coming else Where.ON_IT
        return Where.BEFORE

    def forget(self, place: Place) -> None:
        """Drop everything up to *place*."""
        while self._segments and self._segments[0].mark <= place.mark:
            segment = self._segments[0]
            if segment.mark == place.mark:
                self._shorten(segment, place.offset - segment.offset)
                return
            self._shorten(segment, segment.count)
            if len(self._segments) == 1:
                return  # the last mark stays: what comes next is counted from it
            self._segments.popleft()

    def oldest(self, most: int, most_bytes: int) -> Stretch | None:
        """At most so many of the oldest messages, or one that is larger; None when there is not even a mark."""
        if not self._segments:
            return None
        entries: list[bytes] = []
        size = lost = 0
        end = self._segments[0].end
        for segment in self._segments:
            passed = segment.offset
            for item in segment.items:
                if isinstance(item, int):
                    lost += item
                    passed += item
                    continue
                if len(entries) == most or (entries and size + len(item) > most_bytes):
                    return Stretch(entries, lost, Place(segment.mark, passed))
                entries.append(item)
                size += len(item)
                passed += 1
            end = segment.end
        return Stretch(entries, lost, end)

    def _shorten(self, segment: _Segment, count: int) -> None:
        count = min(count, segment.count)
        for item in _removed(segment.items, count):
            self._bytes -= len(item)
        segment.offset += count
        segment.count -= count


def _removed(items: deque[bytes | int], count: int) -> Iterator[bytes]:
    while count > 0:
        item = items.popleft()
        if isinstance(item, bytes):
            count -= 1
            yield item
        elif item > count:
            items.appendleft(item - count)
            return
        else:
            count -= item
