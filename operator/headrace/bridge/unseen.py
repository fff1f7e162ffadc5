"""Finds out what became of entries that the client library did not give out, before anything passes over them.

| what is found | what follows |
|---|---|
| the broker counts it as acknowledged, though nobody here did | it is counted as missed |
| the broker gives it to nobody: a mark of a transaction, what a transaction took back | nothing |
| a chunk of a message that came, or is not complete yet | acknowledgements stop before its first chunk |
| it can be read again | it is moved in its place |
| it is encrypted, or cannot be uncompressed or taken apart | a dead letter of its bytes as they lie there |
| nobody answers what it is | everything behind it is held, and the bridge is not ready |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.batch import Batch, Position
from headrace.bridge.chunks import first_and_last
from headrace.bridge.continuity import Continuity, Gap, follows
from headrace.bridge.cursor import Cursor, Place, Span, within
from headrace.bridge.incomplete import IncompleteMessages
from headrace.bridge.pulsar_library import MessageId, PulsarError
from headrace.bridge.raw_entry import Chunk, RawEntry
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics, Reading
from headrace.bridge.recovery import EXPIRED, SKIPPED, WITHHELD, Recovery, Stretch
from headrace.bridge.wire import WireError

SMALL_LOSS = 100
"""So many acknowledged entries of a gap are looked at all the same: the client acknowledges what it cannot uncompress,
and may have done so before a crash."""
PORTION_ENTRIES = 500
PORTION_BYTES = 4 * 1024 * 1024
"""How much is held in memory at once."""


class UnansweredError(Exception):
    """Nobody says what it is; the text is for people."""


_TROUBLE: tuple[type[Exception], ...] = (UnansweredError, PulsarError, *RAW_TROUBLE)


class StoppedError(Exception):
    """The stop came while something was held."""


@dataclass(frozen=True)
class Sources:
    """Whom to ask about a subscription."""

    subscription: str
    admin: PulsarAdmin
    raw: RawTopics
    discarded: Callable[[str], Collection[Place]]
    """The entries of a partition's topic that the client says it acknowledged, because it could not read them."""

    def cursor(self, partition: str) -> Cursor:
        """Where the subscription stands; raises ``UnansweredError``."""
        try:
            found = Cursor.parse(self.admin.internal_stats(partition)[partition], self.subscription)
        except ADMIN_TROUBLE as error:
            raise UnansweredError(f"{self.admin.url} does not say it: {error}") from None
        if found is None:
            raise UnansweredError(f"{partition} has no subscription {self.subscription}")
        return found

    def took_away(self, partition: str) -> str:
        """What took entries away before they were read: `Expired`, if the broker says that any did, else `Skipped`."""
        try:
            stats = self.admin.stats(partition)[partition]["subscriptions"][self.subscription]
            return EXPIRED if int(stats["totalMsgExpired"]) else SKIPPED
        except ADMIN_TROUBLE:
            return SKIPPED


class Unseen:
    """For one consumer of a Failover subscription. Not shared between threads."""

    def __init__(
        self,
        sources: Sources,
        recovery: Recovery,
        incomplete: IncompleteMessages,
        hold: Callable[[str], bool],
        *,
        exact: bool,
    ) -> None:
        """*hold* is called with a sentence while it is not known what to do with something, and waits; it returns False
        when the stop came. *exact*: what another replica read is known; else nothing that is acknowledged counts as
        missed."""
        self._sources = sources
        self._recovery = recovery
        self._incomplete = incomplete
        self._hold = hold
        self._exact = exact
        self._continuity = Continuity()
        self._beginnings: dict[str, Cursor] = {}
        self._dealt_with: set[tuple[str, Place]] = set()

    def open(self) -> None:
        """The consumer was opened. Raises what a Valkey raises that is away."""
        self._continuity = Continuity()
        self._incomplete.load()
        self._recovery.withheld = 0

    def begins(self, partition: str, cursor: Cursor) -> None:
        """Where the subscription on *partition* stood before the consumer was opened."""
        self._beginnings[partition] = cursor

    def forget(self, partition: str) -> None:
        """The partition's topic is another one than before."""
        self._continuity.forget(partition)
        self._incomplete.forget(partition)

    def last(self, partition: str) -> Place | None:
        """The last entry of *partition* that is accounted for, or where the subscription began."""
        beginning = self._beginnings.get(partition)
        return self._continuity.last(partition) or (beginning.mark if beginning else None)

    def whole(
        self, batch: Batch, marks: Callable[[], Mapping[str, Position]], reload: Callable[[], None]
    ) -> Iterator[Batch]:
        """*batch* with what was not given out in its place, in parts.

        *marks*: up to where partitions are accounted for; *reload* reads that anew. Raises ``StoppedError``,
        ``ReopenError``, and what a Valkey raises that is away.
        """
        gaps = self._continuity.gaps(batch, marks())
        if not gaps and not self._incomplete:
            yield batch
            return
        if gaps:
            reload()
            gaps = [gap.narrowed(marks()) for gap in gaps]
        look = _Look(self._sources)
        parts: list[Batch] = []
        done = 0
        try:
            for gap in gaps:
                parts.append(batch.part(done, gap.index))
                done = gap.index
                for found in self._explained(look, gap, batch.ids[gap.index]):
                    parts.append(found)
                    if sum(map(len, parts)) >= PORTION_ENTRIES:
                        yield Batch.joined(parts)
                        parts = []
        finally:
            look.close()
        if self._incomplete:
            self._arrived(batch)
        yield Batch.joined([*parts, batch.tail(done)])

    def end(self, partition: str, after: Place, before: Place) -> Iterator[Batch]:
        """What lies behind the last message that was given out, as far as the broker sent. Raises like
        :meth:`whole`."""
        look = _Look(self._sources)
        try:
            yield from self._explained(look, Gap(0, partition, after, before), None)
        finally:
            look.close()

    def _arrived(self, batch: Batch) -> None:
        """Messages in chunks that came are complete."""
        partitions = {each.partition for each in self._incomplete.all()}
        for partition, identity in zip(batch.partitions, batch.ids, strict=True):
            if partition in partitions and (chunks := first_and_last(identity)) is not None:
                self._incomplete.arrived(partition, chunks[0])

    def _explained(self, look: _Look, gap: Gap, identity: MessageId | None) -> Iterator[Batch]:
        """What lies in *gap*, before the message *identity*, or at the topic's end. It takes as long as it takes."""
        while gap.after is None or not follows(gap.after, gap.before):
            try:
                for place, found in self._search(look, gap, identity):
                    gap = replace(gap, after=place)
                    self._continuity.advance(gap.partition, place)
                    if found:
                        yield found
                return
            except _TROUBLE as error:
                look.forget(gap.partition)
                why = str(error) or type(error).__name__
                if not self._hold(f"what lies {gap.where} is not known ({why})"):
                    raise StoppedError from None

    def _search(self, look: _Look, gap: Gap, identity: MessageId | None) -> Iterator[tuple[Place, Batch]]:
        own = ""
        chunks = first_and_last(identity) if identity is not None else None
        if chunks is not None and (chunk := self._chunk(gap.partition, gap.before)) is not None:
            own, first = chunk.uuid, chunks[0]
            if gap.after and follows(gap.after, first) and gap.before == (first[0], first[1] + chunk.of - 1):
                return  # so many chunks it has, and so many entries lie there
        stretch = self._stretch(look.cursor(gap.partition), gap, own)
        if not stretch.spans:
            yield _before(gap.before), Batch.joined([])
            return
        reading = look.reading(gap.partition, (stretch.spans[0].ledger, stretch.spans[0].first))
        portion: list[RawEntry] = []
        size = given = 0
        for entry in reading.until(gap.before, stretch.patience):
            if entry.place < gap.before and within(stretch.spans, entry.place):
                portion.append(entry)
                size += entry.size
                given += within(stretch.waiting, entry.place)
                if len(portion) == PORTION_ENTRIES or size >= PORTION_BYTES:
                    yield entry.place, self._batch(stretch, portion)
                    portion, size = [], 0
        if identity is not None and not reading.passed(gap.before):
            raise WireError("the broker stops before it")
        if portion:
            yield portion[-1].place, self._batch(stretch, portion)
        if not stretch.unanswered(reading.at):
            self._recovery.missed(gap.partition, sum(map(len, stretch.waiting)) - given, WITHHELD)
            yield _before(gap.before), Batch.joined([])

    def _batch(self, stretch: Stretch, portion: list[RawEntry]) -> Batch:
        found = self._recovery.batch(stretch, portion)
        self._dealt_with.update((stretch.partition, place) for place in stretch.discarded)
        return found

    def _chunk(self, partition: str, place: Place) -> Chunk | None:
        """Which chunk lies at *place*."""
        with self._sources.raw.reading(partition, place) as reading:
            for entry in reading.until(place):
                return entry.chunk
        raise WireError("the broker does not give the last chunk")

    def _stretch(self, cursor: Cursor, gap: Gap, own: str) -> Stretch:
        """What to look at in *gap*. Where its beginning is not known, that of the subscription is taken for it."""
        beginning = self._beginnings.get(gap.partition)
        known = self._exact and (gap.after or beginning) is not None
        spans = list(cursor.between(gap.after or (beginning or cursor).mark, gap.before))
        if beginning and not gap.after:
            _, spans = beginning.split(spans)
        gone, left = cursor.split(spans)
        discarded = {
            place
            for place in self._sources.discarded(gap.partition)
            if (gap.after or (-1, -1)) < place < gap.before and (gap.partition, place) not in self._dealt_with
        }
        if not known or sum(map(len, gone)) > SMALL_LOSS:
            if known:
                lost = sum(map(len, gone)) - sum(within(gone, place) for place in discarded)
                self._recovery.missed(gap.partition, lost)
            spans = left
        lone = {Span(*place, place[1]) for place in discarded if not within(spans, place)}
        return Stretch(gap.partition, sorted({*spans, *lone}), left, gone, discarded, own)


def _before(place: Place) -> Place:
    return place[0], place[1] - 1


class _Look:
    """Answers about partitions, kept for one batch."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._cursors: dict[str, Cursor] = {}
        self._readings: dict[str, Reading] = {}

    def cursor(self, partition: str) -> Cursor:
        if partition not in self._cursors:
            self._cursors[partition] = self._sources.cursor(partition)
        return self._cursors[partition]

    def reading(self, partition: str, first: Place) -> Reading:
        """A reading that goes on at *first*, or before."""
        reading = self._readings.get(partition)
        if reading is None or reading.passed(first):
            self._close(partition)
            reading = self._readings[partition] = self._sources.raw.reading(partition, first)
        return reading

    def forget(self, partition: str) -> None:
        self._cursors.pop(partition, None)
        self._close(partition)

    def close(self) -> None:
        for partition in list(self._readings):
            self._close(partition)

    def _close(self, partition: str) -> None:
        if reading := self._readings.pop(partition, None):
            reading.close()
