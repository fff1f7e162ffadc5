"""Reads a topic to its end with a reader that goes on behind what the client library cannot give out.

A reader that meets encrypted messages without a key waits for one, and after as many as its queue holds it receives
nothing more. Told to discard them, it goes on; but of an encrypted batch it asks for one message in the stead of all.
So one that receives nothing, though the topic goes on, is opened anew where it stands, with a longer queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from headrace.bridge.batch import NOWHERE, Position, position
from headrace.bridge.pulsar_library import Client, Message, PulsarTimeoutError, Reader, core, library

QUEUE_MESSAGES = 1000
LONGEST_QUEUE = 16 * QUEUE_MESSAGES
STALL_SECONDS = 3.0
WAIT_MILLISECONDS = 1000
PATIENCE_SECONDS = 20.0
"""How long it waits for a message that the topic says it has: perhaps it is large. After that, what is left is the
torso of a message in chunks, or encrypted, which no reader ever gets."""


class TopicReader:
    """Of one partition's topic; to be closed."""

    def __init__(
        self,
        client: Client,
        topic: str,
        start: tuple[int, int] | None,
        *,
        since: int | None = None,
        queue: int = QUEUE_MESSAGES,
        **options: Any,
    ) -> None:
        """*start*: the entry it begins with; None for the topic's first one. *since*: it begins with what was published
        then, in milliseconds since 1970. *options* are the client's. Raises PulsarError."""
        self._client = client
        self._topic = topic
        self._start = start
        self._since = since
        self._queue = queue
        self._options = options
        self._last: Position = NOWHERE
        self._heard = time.monotonic()
        self._moved = self._heard
        self._reader = self._open()

    def has_more(self) -> bool:
        """Whether the topic goes on. That is so as well where all that is left is such as no reader ever gets."""
        return self._reader.has_message_available()

    def read(self) -> Message | None:
        """The next message; None when nothing came for a second."""
        while True:
            try:
                message = self._reader.read_next(timeout_millis=WAIT_MILLISECONDS)._message
            except PulsarTimeoutError:
                if time.monotonic() - self._moved > STALL_SECONDS:
                    self._lengthen()
                return None
            self._moved = time.monotonic()
            if (place := position(message.message_id())) > self._last:
                self._heard, self._last = self._moved, place
                return message

    @property
    def silent_seconds(self) -> float:
        """For how long nothing came."""
        return time.monotonic() - self._heard

    def close(self) -> None:
        """End it."""
        self._reader.close()

    def _lengthen(self) -> None:
        if self._queue >= LONGEST_QUEUE:
            return
        self._queue = min(4 * self._queue, LONGEST_QUEUE)
        self._reader.close()
        self._reader = self._open()
        self._moved = time.monotonic()

    def _open(self) -> Reader:
        at = self._last[:2] if self._last != NOWHERE else self._start
        reader = self._client.create_reader(
            self._topic,
            core.MessageId.earliest if at is None else library.MessageId(-1, *at, -1),
            start_message_id_inclusive=True,
            receiver_queue_size=self._queue,
            crypto_failure_action=core.ConsumerCryptoFailureAction.DISCARD,
            **self._options,
        )
        if self._since is not None and self._last == NOWHERE:
            reader.seek(self._since)
        return reader


def remaining(reader: TopicReader, patience: float, waiting: Callable[[], None]) -> Iterator[Message]:
    """What *reader* gets from where it stands to the topic's end, or until nothing came for *patience* seconds.

    *waiting* is called about once a second.
    """
    called = time.monotonic()
    while reader.has_more():
        if (now := time.monotonic()) - called > 1.0:
            waiting()
            called = now
        message = reader.read()
        if message is not None:
            yield message
        elif reader.silent_seconds > patience:
            return
