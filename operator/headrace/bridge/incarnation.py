"""Is a topic still the one that a remembered position speaks of?

Another topic of the same name, one that was made anew or that of another Pulsar cluster, may have messages at the same
places, since clusters count their ledgers alike. Its messages were never taken, whatever lies at or below the position.
So with a position goes a witness, the very message there: the topic that holds it is the same. No right is needed for
that but the one to read the topic.

A topic loses messages from its beginning alone. So where the witness is gone while something older is there, it never
was in this topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from typing import Self

from headrace.bridge.batch import Position, position
from headrace.bridge.chunks import first_and_last
from headrace.bridge.pulsar_library import Client, Message, PulsarTimeoutError, Reader, core, library
from headrace.bridge.tail import PATIENCE_SECONDS

DIGEST_BYTES = 8
READ_MILLISECONDS = 1000


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

    def __init__(self, client: Client, subscription: str) -> None:
        """*subscription*: a broker may admit only subscriptions whose names begin like the role's."""
        self._client = client
        self._subscription = subscription

    def judge(self, partition: str, mark: Position, witness: Witness | None) -> Verdict:
        """Whether *partition* is the topic in which *mark* lies, where *witness* lies too.

        Without a witness, as versions before this one left it, only a topic that ends before the mark is another one.
        Raises PulsarError.
        """
        if witness is None:
            return self._without_witness(partition, mark)
        found = self._from(partition, witness.begins, witness.position)
        if found is not None and position(found.message_id()) == witness.position:
            return Verdict.SAME if Witness.of(found) == witness else Verdict.OTHER
        # in this order: what is not older than the witness now was not so before either
        return self._by_the_first(partition, witness.position)

    def last_of(self, partition: str, entry: tuple[int, int]) -> Witness | None:
        """The last message of an entry; None when there is no such entry. Raises PulsarError."""
        with self._reader(partition, entry) as reader:
            last = message = _next(reader, None)
            while message is not None and position(message.message_id())[:2] == entry:
                last, message = message, _next(reader, None)
        if last is None or position(last.message_id())[:2] != entry:
            return None
        return Witness.of(last)

    def _without_witness(self, partition: str, mark: Position) -> Verdict:
        if self._from(partition, mark[:2], (*mark[:2], -1)) is not None:
            return Verdict.SAME
        return self._by_the_first(partition, mark)

    def _by_the_first(self, partition: str, mark: Position) -> Verdict:
        first = self._from(partition, None, None)
        if first is None:
            return Verdict.EMPTY
        return Verdict.OTHER if position(first.message_id()) <= mark else Verdict.PAST

    def _from(self, partition: str, begins: Sequence[int] | None, wanted: Position | None) -> Message | None:
        """The first message at or above *wanted*, looking from *begins* on, or from the topic's beginning."""
        with self._reader(partition, begins) as reader:
            return _next(reader, wanted)

    @contextmanager
    def _reader(self, partition: str, begins: Sequence[int] | None) -> Iterator[Reader]:
        start = core.MessageId.earliest if begins is None else library.MessageId(-1, *begins, -1)
        reader = self._client.create_reader(
            partition,
            start,
            start_message_id_inclusive=True,
            subscription_role_prefix=self._subscription,
            crypto_failure_action=core.ConsumerCryptoFailureAction.CONSUME,
        )
        try:
            yield reader
        finally:
            reader.close()


def _next(reader: Reader, wanted: Position | None) -> Message | None:
    read = time.monotonic()
    while reader.has_message_available():
        try:
            message = reader.read_next(timeout_millis=READ_MILLISECONDS)
        except PulsarTimeoutError:
            if time.monotonic() - read > PATIENCE_SECONDS:
                return None  # the torso of a message in chunks, which nobody ever gets
            continue
        if wanted is None or position(message.message_id()) >= wanted:
            return message
        read = time.monotonic()
    return None
