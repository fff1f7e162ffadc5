"""Tells of entries between messages that a reader got what the client library made no message of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.bridge.continuity import follows
from headrace.bridge.cursor import Place
from headrace.bridge.raw_topic import RawTopics

BACK_ENTRIES = 1000
"""So far it is looked back where it is not known behind what a reading begins."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that no message was made of."""

    place: Place
    messages: int
    """How many it holds, as its producer says."""
    why: str

    @property
    def problem(self) -> str:
        """A sentence for people."""
        return "{}:{} is left out: {}.".format(*self.place, self.why)


class LeftOuts:
    """Looks at topics. Methods raise ``RAW_TROUBLE``."""

    def __init__(self, raw: RawTopics) -> None:
        self._raw = raw

    def among(self, partition: str, after: Place | None, places: Sequence[Place], since: int = 0) -> list[LeftOut]:
        """What lies before each of *places*, where messages were that came one after the other, the first one after
        *after*; of what was published at *since* or later, in milliseconds since 1970."""
        found: list[LeftOut] = []
        for place in places:
            begin = after if after is not None else (place[0], place[1] - BACK_ENTRIES)
            if begin < place and not (after and follows(after, place)):
                found += self.between(partition, begin, place, since)
            after = place
        return found

    def between(self, partition: str, after: Place, before: Place, since: int = 0) -> Iterator[LeftOut]:
        """What lies behind *after* and before *before*."""
        with self._raw.reading(partition, (after[0], max(after[1] + 1, 0))) as reading:
            for entry in reading.until((before[0], before[1] - 1)):
                if entry.publish_timestamp() < since:
                    continue
                if entry.encrypted:
                    yield LeftOut(entry.place, entry.messages, "it is encrypted, and nobody has the key here")
                elif entry.chunk is None:
                    yield LeftOut(entry.place, entry.messages, "the client library cannot read it")
