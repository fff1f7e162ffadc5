"""Reads the letters of a dead-letter topic that nobody has taken out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from headrace.api.topic import base_topic
from headrace.bridge.batch import NOWHERE, Position, position
from headrace.bridge.cursor import Span
from headrace.bridge.header import NOTHING
from headrace.bridge.headers import Headers
from headrace.bridge.incarnation import Witness
from headrace.bridge.letter import Letter
from headrace.bridge.pulsar_library import Client, Consumer, Message, PulsarError, PulsarTimeoutError, core
from headrace.bridge.retried import message_id

WAIT_MILLISECONDS = 100
MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was received, not acknowledged yet."""

    message: Message
    position: Position
    headers: Headers | None = None

    @property
    def letter(self) -> Letter:
        """What it says; raises ``UnicodeDecodeError`` for a key or property that is not UTF-8, and
        ``HeaderUnknownError``."""
        message = self.message
        return Letter(
            self.name,
            message.data(),
            message.partition_key() or None,
            message.properties(),
            message.event_timestamp(),
            message.publish_timestamp(),
            self.headers.of(message) if self.headers else NOTHING,
        )

    @property
    def topic(self) -> str:
        """The topic it lies in, partition left out."""
        return base_topic(self.message.topic_name())

    @property
    def name(self) -> str:
        """``ledger:entry:partition``, with the index for one of a batch."""
        return message_id(self.message.message_id())

    @property
    def identity(self) -> str:
        """Its name with a digest: a topic that was made anew gives names a second time."""
        return f"{self.name}#{Witness.of(self.message).digest}"


class DeadLetters:
    """One partition, in order. What is not acknowledged stays, and comes again to whoever reads next.

    The subscription is read in Failover mode: acknowledging one by one is allowed there, the order is kept, and a
    second reader waits for the first to go.
    """

    def __init__(self, client: Client, headers: Headers, partition: str, subscription: str) -> None:
        self._headers = headers
        self._client = client
        self._partition = partition
        self._subscription = subscription
        self._last = self._again = NOWHERE
        self.received: list[Span] = []
        """The entries of the letters that came, in order."""
        self._consumer = self._open(2 * MOST_AT_ONCE)

    def _open(self, queue: int) -> Consumer:
        return self._client.subscribe(
            self._partition,
            self._subscription,
            consumer_type=core.ConsumerType.Failover,
            initial_position=core.InitialPosition.Earliest,
            receiver_queue_size=queue,
        )

    def lengthen(self, queue: int) -> None:
        """Go on with a queue of so many messages: those that the client does not give out keep their place in it."""
        self._consumer.close()
        self._again = self._last
        self._consumer = self._open(queue)

    def receive(self, most: int, wait_milliseconds: int = WAIT_MILLISECONDS) -> list[Found]:
        """At most *most* messages; none when nothing came in time."""
        self._headers.rest()
        found: list[Found] = []
        deadline = time.monotonic() + wait_milliseconds / 1000
        while len(found) < most:
            left = int((deadline - time.monotonic()) * 1000)
            try:
                message = self._consumer._consumer.receive(max(left, 1))
            except PulsarTimeoutError:
                break
            place = position(message.message_id())
            if place <= self._again:
                continue  # it came before the queue was lengthened
            self._note(place)
            found.append(Found(message, place, self._headers))
        return found

    def _note(self, place: Position) -> None:
        ledger, entry, _ = place
        if place <= self._last:
            return
        last = self.received[-1] if self.received else None
        if last is None or ledger != last.ledger or entry > last.last + 1:
            self.received.append(Span(ledger, entry, entry))
        elif entry > last.last:
            self.received[-1] = Span(ledger, last.first, entry)
        self._last = place

    def acknowledge(self, letters: Sequence[Found]) -> None:
        """Take *letters* out of the topic."""
        for letter in letters:
            self._consumer._consumer.acknowledge(letter.message)

    def end(self) -> Position | None:
        """Where the partition ends now; None when it holds nothing."""
        last = self._consumer.get_last_message_id()
        return position(last) if last.ledger_id() >= 0 else None

    def catch_up(self) -> None:
        """Return when everything is here that the broker had sent by now: its answer comes behind it."""
        self._consumer.get_last_message_id()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the subscription back; acknowledgements are sent before."""
        self._headers.rest()
        try:
            self._consumer.close()
        except PulsarError:
            if kind is None:
                raise
