"""What becomes of entries that the client library did not give out, once their bytes are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from headrace.api.topic import base_topic
from headrace.bridge.batch import Batch
from headrace.bridge.chunks import first_and_last
from headrace.bridge.cursor import Place, Span, within
from headrace.bridge.incomplete import Incomplete, IncompleteMessages
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.preparation import Prepare
from headrace.bridge.pulsar_library import Message
from headrace.bridge.raw_entry import RawEntry
from headrace.bridge.raw_topic import QUIET_SECONDS, RawTopics
from headrace.bridge.received_letter import Letters
from headrace.bridge.second_reading import SecondReading

ENCRYPTED = "Encrypted"
CORRUPT = "Corrupt"
BROKEN_CHUNKS = "BrokenChunks"
READ_AGAIN = "ReadAgain"
EXPIRED = "Expired"
SKIPPED = "Skipped"
WITHHELD = "Withheld"
INCOMPLETE = "Incomplete"
"""Why an entry is missed: its time to live is over, or the cursor was moved over it; the broker gives it to nobody; or
the message that it is a chunk of was never completed."""
SHORT_SECONDS = 1.0
"""How long to wait for entries that the broker may give to nobody."""

_log = logging.getLogger(__name__)


class ReopenError(Exception):
    """The consumer must be opened anew, to be given once more what it dropped; the text says why."""

    def __init__(self, text: str, *, put_more_together: bool = False) -> None:
        """*put_more_together*: and put more messages in chunks together at once."""
        super().__init__(text)
        self.put_more_together = put_more_together


@dataclass(frozen=True)
class Stretch:
    """Entries of a partition that were not given out."""

    partition: str
    spans: Sequence[Span]
    """What to look at, in order."""
    waiting: Sequence[Span]
    """What of it is not acknowledged."""
    gone: Sequence[Span]
    """What of it the broker counts as acknowledged."""
    discarded: Collection[Place]
    """What of it the client acknowledged, because it could not read it."""
    own: str
    """The uuid of the chunks that belong to the message behind it; empty for one in one piece."""

    @property
    def patience(self) -> float:
        """For how many seconds nothing may come where it is read."""
        return QUIET_SECONDS if self.unanswered((-1, -1)) else SHORT_SECONDS

    def unanswered(self, place: Place) -> bool:
        """Whether something behind *place* waits to be acknowledged, so that the broker gives it to somebody."""
        return any((span.ledger, span.last) > place for span in self.waiting)

    def taken(self, place: Place) -> bool:
        """Whether somebody else acknowledged it."""
        return within(self.gone, place) and place not in self.discarded


class Recovery:
    """For one consumer of a subscription."""

    def __init__(
        self,
        raw: RawTopics,
        again: SecondReading,
        incomplete: IncompleteMessages,
        prepare: Prepare,
        letters: Letters,
        metrics: BridgeMetrics,
        subscription: str,
        took_away: Callable[[str], str],
    ) -> None:
        """*took_away* says in one word what takes away entries of a partition's topic before they are read."""
        self._raw = raw
        self._again = again
        self._incomplete = incomplete
        self._prepare = prepare
        self._letters = letters
        self._metrics = metrics
        self._subscription = subscription
        self._took_away = took_away
        self.withheld = 0
        """Messages for which the client did not ask for others in their stead. The caller's to reset."""

    def batch(self, stretch: Stretch, entries: Sequence[RawEntry]) -> Batch:
        """What is moved in the place of *entries*, which lie in *stretch*.

        Raises PulsarError, ``RAW_TROUBLE``, ``ReopenError``, and what a Valkey raises that is away.
        """
        found: dict[Place, Batch] = {}
        plain: list[RawEntry] = []
        chunked: dict[str, Incomplete] = {}
        missed = 0
        for entry in entries:
            place = entry.place
            taken = stretch.taken(place)
            if entry.encrypted:
                missed += taken
                if not taken:
                    self.withheld += entry.messages
                    found[place] = self._encrypted(entry)
            elif (chunk := entry.chunk) is None:
                plain.append(entry)
            elif chunk.uuid != stretch.own:
                each = chunked[chunk.uuid] = self._incomplete.add(stretch.partition, chunk, place)
                each.awaited &= not taken
        if plain:
            missed += self._again_or_letters(stretch, plain, found)
        self.missed(stretch.partition, missed)
        self._incomplete.keep(chunked.values())
        places = {entry.place for entry in entries}
        for each in chunked.values():
            if each.whole and each.last in places:
                found[each.last] = self._whole(each)
        return Batch.joined([found[place] for place in sorted(found)])

    def each(self, partition: str, entries: Sequence[RawEntry]) -> Batch:
        """What is moved in the place of *entries*, which nobody else deals with, chunks each by itself. Raises
        PulsarError."""
        found: dict[Place, Batch] = {}
        plain = [entry for entry in entries if not entry.encrypted]
        for entry in entries:
            if entry.encrypted:
                found[entry.place] = self._encrypted(entry)
        if plain:
            self._again_or_letters(Stretch(partition, (), (), (), (), ""), plain, found)
        return Batch.joined([found[place] for place in sorted(found)])

    def _encrypted(self, entry: RawEntry) -> Batch:
        return self._letter(entry, ENCRYPTED, "it is encrypted, and the bridge has no key")

    def missed(self, partition: str, entries: int, reason: str = "") -> None:
        """So many *entries* were never read: the broker or the client took them away. *reason*: one word, if known."""
        if entries:
            reason = reason or self._took_away(partition)
            self._metrics.missed.labels(topic=base_topic(partition), reason=reason).inc(entries)
            _log.warning("%s: %d entries were never read (%s)", partition, entries, reason)

    def _again_or_letters(self, stretch: Stretch, plain: Sequence[RawEntry], found: dict[Place, Batch]) -> int:
        """Put into *found* what comes of entries that should be readable; returns how many others acknowledged."""
        wanted = {entry.place for entry in plain}
        messages: dict[Place, list[Message]] = {}
        for place, message in self._again.messages(stretch.partition, plain[0].place, plain[-1].place):
            if place in wanted:
                messages.setdefault(place, []).append(message)
        missed = 0
        for entry in plain:
            if again := messages.get(entry.place):
                if stretch.taken(entry.place):
                    missed += 1
                    continue
                found[entry.place] = self._prepare(again)
                self._metrics.consumer_failures.labels(
                    topic=base_topic(stretch.partition), subscription=self._subscription, reason=READ_AGAIN
                ).inc()
                _log.warning("%s: %s:%s was given out at the second try only", stretch.partition, *entry.place)
            else:
                found[entry.place] = self._letter(entry, CORRUPT, "the client library cannot read it")
        return missed

    def _whole(self, each: Incomplete) -> Batch:
        """A message in chunks that are all there, and was not given out."""
        if not each.repeated:
            for _, message in self._again.messages(each.partition, each.first, each.last):
                if first_and_last(message.message_id()) == (each.first, each.last):
                    self._incomplete.settle(each)
                    return self._prepare([message])
            if each.awaited and not each.tried:
                each.tried = True
                self._incomplete.keep([each])
                text = "{}: the message whose first chunk lies at {}:{} was not put together"
                raise ReopenError(text.format(each.partition, *each.first), put_more_together=True)
        entry = self._assembled(each)
        self._incomplete.settle(each)
        return self._letter(entry, BROKEN_CHUNKS, "the client library does not put its chunks together")

    def _assembled(self, each: Incomplete) -> RawEntry:
        """All bytes of a message in chunks."""
        pieces: dict[int, bytes] = {}
        last = None
        with self._raw.reading(each.partition, each.first) as reading:
            for last in reading.until(each.last):
                if (chunk := last.chunk) is not None and chunk.uuid == each.uuid:
                    pieces.setdefault(chunk.number, last.data())
        if last is None or last.place != each.last:
            raise ConnectionResetError("the broker stops before the last chunk")
        return last.holding(b"".join(pieces[number] for number in sorted(pieces)))

    def _letter(self, entry: RawEntry, reason: str, error: str) -> Batch:
        ledger, number = entry.place
        _log.warning("%s: %d:%d becomes a dead letter (%s): %s", entry.topic_name(), ledger, number, reason, error)
        item = self._letters.dead(entry, entry.identity, reason, f"{error}; it lies at {ledger}:{number}.")
        return Batch([entry.topic_name()], [entry.identity], [item])
