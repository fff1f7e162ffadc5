"""Reads the end of a topic: did something land before the crash?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from headrace.bridge.pulsar_client import CUT_PROPERTY
from headrace.bridge.pulsar_library import Client, Message, PulsarTimeoutError, core

CLOCK_MARGIN_MILLISECONDS = 60_000
"""How far one clock may run ahead of the clocks of Pulsar's producers."""

PATIENCE_SECONDS = 20.0
"""How long the reader waits for a message that the topic says it has: perhaps it is large. After that, what is left is
the torso of a message in chunks, which no reader ever gets."""


def messages_since(client: Client, topic: str, since: int, waiting: Callable[[], None]) -> Iterator[Message]:
    """What the partition's topic holds that came after *since* (milliseconds since the epoch), and some before.

    *waiting* is called about once a second.
    """
    reader = client.create_reader(topic, core.MessageId.earliest)
    try:
        reader.seek(max(since - CLOCK_MARGIN_MILLISECONDS, 0))
        called = read = time.monotonic()
        while reader.has_message_available():
            now = time.monotonic()
            if now - called > 1.0:
                waiting()
                called = now
            try:
                message = reader.read_next(timeout_millis=1000)
            except PulsarTimeoutError:
                if now - read > PATIENCE_SECONDS:
                    break
                continue
            read = now
            yield message
    finally:
        reader.close()


def last_landed(client: Client, topic: str, identity: str, since: int, waiting: Callable[[], None]) -> int:
    """The highest sequence id of the cut *identity* that the partition's topic holds, looking at what came after
    *since*; -1 when it holds none.

    *waiting* is called about once a second.

    This is what makes a replay safe where the broker does not tell: of a producer that it does not know any more (its
    memory of an idle one ends after 6 hours, `brokerDeduplicationProducerInactivityTimeoutMinutes`, or was never
    switched on), and of messages that went one by one.
    """
    found, beginning = -1, f"{identity}:"
    for message in messages_since(client, topic, since, waiting):
        mark = message.properties().get(CUT_PROPERTY, "")
        if mark.startswith(beginning):
            found = max(found, int(mark.removeprefix(beginning)))
    return found
