"""Reads the end of a topic: did a cut land before the crash?"""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.bridge.pulsar_client import CUT_PROPERTY
from headrace.bridge.pulsar_library import Client, PulsarTimeoutError, core

CLOCK_MARGIN_MILLISECONDS = 60_000
"""How far Valkey's clock may run ahead of the clocks of Pulsar's producers."""

READ_MILLISECONDS = 10_000


def last_landed(client: Client, topic: str, identity: str, since: int, waiting: Callable[[], None]) -> int:
    """The highest sequence id of the cut *identity* that the partition's topic holds, looking at what came after
    *since*; -1 when it holds none.

    *waiting* is called about once a second.

    This is what makes a replay safe where the broker does not know the producer any more: its memory of an idle
    producer ends after 6 hours (`brokerDeduplicationProducerInactivityTimeoutMinutes`), or was never switched on.
    """
    reader = client.create_reader(topic, core.MessageId.earliest)
    try:
        reader.seek(max(since - CLOCK_MARGIN_MILLISECONDS, 0))
        found, beginning = -1, f"{identity}:"
        called = time.monotonic()
        while reader.has_message_available():
            if time.monotonic() - called > 1.0:
                waiting()
                called = time.monotonic()
            try:
                message = reader.read_next(timeout_millis=READ_MILLISECONDS)
            except PulsarTimeoutError:
                break  # what is left is the torso of a chunked message, which no reader ever gets
            mark = message.properties().get(CUT_PROPERTY, "")
            if mark.startswith(beginning):
                found = max(found, int(mark.removeprefix(beginning)))
        return found
    finally:
        reader.close()
