"""Does each message follow the one before it? Pure.

Entries of a ledger have numbers without gaps, and a partition has one reader. So what lies between two messages that
came one after the other was not given out: the broker took it away or keeps it to itself, or the client library could
make no message of it. No acknowledgement may pass over that before it is known what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headrace.bridge.batch import NOWHERE, Batch, Position
from headrace.bridge.cursor import Place
from headrace.bridge.pulsar_library import MessageId, core

_entry = core.MessageId.entry_id


@dataclass(frozen=True, slots=True)
class Gap:
    """Something was not seen, or it is not known where the beginning is."""

    index: int
    """It lies before the message with this number in the batch."""
    partition: str
    after: Place | None
    """The last entry that was seen; None when nothing was before."""
    before: Place
    """The next one that was, or where a look at the end of a topic ends."""

    @property
    def where(self) -> str:
        """For people."""
        begin = "{}:{}".format(*self.after) if self.after else "the subscription's beginning"
        return "between {} and {}:{} of {}".format(begin, *self.before, self.partition)

    def narrowed(self, marks: Mapping[str, Position]) -> Gap:
        """Without what another replica accounted for, as *marks* say."""
        mark = marks.get(self.partition, NOWHERE)[:2]
        return replace(self, after=max(mark, self.after or mark)) if mark[0] >= 0 else self


class Continuity:
    """How far each partition was seen without a gap since the consumer was opened."""

    def __init__(self) -> None:
        self._last: dict[str, Place] = {}

    def last(self, partition: str) -> Place | None:
        """The last entry of *partition* that was seen."""
        return self._last.get(partition)

    def advance(self, partition: str, place: Place) -> None:
        """Everything up to *place* is accounted for."""
        self._last[partition] = max(self._last.get(partition, place), place)

    def forget(self, partition: str) -> None:
        """The partition's topic is another one."""
        self._last.pop(partition, None)

    def gaps(self, batch: Batch, marks: Mapping[str, Position]) -> list[Gap]:
        """What is missing before messages of *batch*, in order; the batch counts as seen from now on.

        *marks*: up to where each partition was accounted for when the consumer was opened.
        """
        found: list[Gap] = []
        places: dict[str, list[int]] = {}
        for partition, ids in batch.by_partition().items():
            last = self._last.get(partition)
            mark = marks.get(partition, NOWHERE)[:2]
            if mark[0] >= 0 and (last is None or last < mark):
                last = mark
            if last is not None and _continues(ids, last):
                final = ids[-1]
                self._last[partition] = max(last, (final.ledger_id(), final.entry_id()))
                continue
            places = places or batch.places()
            found += self._walk(partition, places[partition], ids, last)
        return sorted(found, key=lambda gap: gap.index)

    def _walk(self, partition: str, places: Sequence[int], ids: Sequence[MessageId], last: Place | None) -> list[Gap]:
        found = []
        for index, identity in zip(places, ids, strict=True):
            place = identity.ledger_id(), identity.entry_id()
            if last is not None and follows(last, place):
                last = max(last, place)
                continue
            found.append(Gap(index, partition, last, place))
            last = place
        assert last is not None
        self._last[partition] = last
        return found


def follows(after: Place, before: Place) -> bool:
    """Whether no entry can lie between the two."""
    return before <= after or before == (after[0], after[1] + 1)


def _continues(ids: Sequence[MessageId], last: Place) -> bool:
    """Whether *ids* go on behind *last* without a gap; False where a closer look is needed."""
    first, final = ids[0], ids[-1]
    ledger, begin, end = first.ledger_id(), first.entry_id(), final.entry_id()
    if ledger != last[0] or final.ledger_id() != ledger or not last[1] <= begin <= last[1] + 1:
        return False
    if end - begin + 1 == len(ids) and list(map(_entry, ids)) == list(range(begin, end + 1)):
        return True
    return _dense(ids, begin)


def _dense(ids: Sequence[MessageId], entry: int) -> bool:
    """Whether each entry that *ids* speak of follows the one before it, looking at a few messages of each batch."""
    place, count = 0, len(ids)
    while True:
        # *place* is of *entry*: jump ahead in growing steps, then halve the rest
        low, step = place, 1
        while low + step < count and _entry(ids[low + step]) == entry:
            low += step
            step *= 2
        high = min(low + step, count)
        while high - low > 1:
            middle = (low + high) // 2
            if _entry(ids[middle]) == entry:
                low = middle
            else:
                high = middle
        place = low + 1
        if place == count:
            return True
        if _entry(ids[place]) != entry + 1:
            return False
        entry += 1
