"""Is a topic still the one that a remembered position speaks of?

Another topic of the same name, one that was made anew or that of another Pulsar cluster, may have messages at the same
places, since clusters count their ledgers alike. Its messages were never taken, whatever lies at or below the position.
So with a position goes a witness, the very message there: the topic that holds it is the same. No right is needed for
that but the one to read the topic.

A topic loses messages from its beginning alone. So where the witness is gone while something older is there, it never
was in this topic.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from typing import Self

from headrace.bridge.batch import Position, position
from headrace.bridge.chunks import first_and_last
from headrace.bridge.pulsar_library import Client, Message, PulsarError
from headrace.bridge.raw_entry import RawEntry
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.topic_reader import PATIENCE_SECONDS, TopicReader, remaining

DIGEST_BYTES = 8
BEYOND = (2**62, 0)
"""Behind all entries."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A message by which a topic is known again."""

    position: Position
    digest: str
    begins: tuple[int, int]
    """Ledger and entry where it begins: of a message in chunks, its first one."""

    @classmethod
    def of(cls, message: Message) -> Self:
        """What is remembered of *message*."""
        identity = message.message_id()
        place = position(identity)
        chunks = first_and_last(identity)
        digest = blake2b(message.data(), digest_size=DIGEST_BYTES)
        digest.update(b"%d %s" % (message.publish_timestamp(), message.producer_name().encode(errors="replace")))
        return cls(place, digest.hexdigest(), chunks[0] if chunks else place[:2])

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :meth:`encode`."""
        ledger, entry, index, first_ledger, first_entry, digest = text.split(":")
        return cls((int(ledger), int(entry), int(index)), digest, (int(first_ledger), int(first_entry)))

    def encode(self) -> str:
        """``ledger:entry:index:ledger:entry:digest``."""
        return ":".join(map(str, (*self.position, *self.begins, self.digest)))


class Verdict(Enum):
    """What a look at a topic says of it."""

    SAME = auto()
    """It is the one that is remembered."""
    OTHER = auto()
    """It is another one."""
    PAST = auto()
    """It holds nothing at or below the position: it may be either, and nothing of it can be taken for older."""
    EMPTY = auto()
    """It holds nothing."""


class Incarnations:
    """Looks at topics."""

    def __init__(self, client: Client, raw: RawTopics, subscription: str) -> None:
        """*subscription*: a broker may admit only subscriptions whose names begin like the role's."""
        self._client = client
        self._raw = raw
        self._subscription = subscription

    def judge(self, partition: str, mark: Position, witness: Witness | None) -> Verdict:
        """Whether *partition* is the topic in which *mark* lies, where *witness* lies too.

        Without a witness, as versions before this one left it, only a topic that ends before the mark is another one.
        Raises PulsarError.
        """
        if witness is None:
            if self._entry(partition, mark[:2]) is not None:
                return Verdict.SAME
            return self._by_the_first(partition, mark)
        found = self._from(partition, witness.begins, witness.position)
        if found is not None and position(found.message_id()) == witness.position:
            return Verdict.SAME if Witness.of(found) == witness else Verdict.OTHER
        entry = self._entry(partition, witness.position[:2])
        if entry is not None and entry.encrypted and entry.place == witness.position[:2]:
            return Verdict.SAME if Witness.of(entry) == witness else Verdict.OTHER
        # in this order: what is not older than the witness now was not so before either
        return self._by_the_first(partition, witness.position)

    def last_of(self, partition: str, place: tuple[int, int]) -> Witness | None:
        """The last message of an entry; None when there is no such entry. Raises PulsarError."""
        entry = self._entry(partition, place)
        if entry is None or entry.place != place:
            return None
        if entry.encrypted:
            return Witness.of(entry)
        last = None
        with self._reader(partition, place) as reader:
            for message in remaining(reader, PATIENCE_SECONDS, _nothing):
                if position(message.message_id())[:2] != place:
                    break
                last = message
        return Witness.of(last) if last is not None else None

    def _by_the_first(self, partition: str, mark: Position) -> Verdict:
        with self._reader(partition, None) as reader:
            if not reader.has_more():
                return Verdict.EMPTY
        first = self._entry(partition, (-1, -1))
        if first is None:
            return Verdict.EMPTY
        return Verdict.OTHER if first.place <= mark[:2] else Verdict.PAST

    def _from(self, partition: str, begins: tuple[int, int], wanted: Position) -> Message | None:
        """The first message at or above *wanted* that can be read, looking from *begins* on."""
        with self._reader(partition, begins) as reader:
            for message in remaining(reader, PATIENCE_SECONDS, _nothing):
                if position(message.message_id()) >= wanted:
                    return message
        return None

    def _entry(self, partition: str, place: tuple[int, int]) -> RawEntry | None:
        """The first entry at or above *place*, whether or not it can be read."""
        try:
            with self._raw.reading(partition, place) as reading:
                return next(reading.until(BEYOND), None)
        except RAW_TROUBLE as error:
            raise PulsarError(f"{partition} cannot be looked at: {error}") from None

    def _reader(self, partition: str, start: tuple[int, int] | None) -> closing[TopicReader]:
        prefix = self._subscription
        return closing(TopicReader(self._client, partition, start, subscription_role_prefix=prefix))


def _nothing() -> None:
    pass
