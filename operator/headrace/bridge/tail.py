"""Reads the end of a topic: did a cut land before the crash?"""

from __future__ import annotations

from headrace.bridge.pulsar_library import Client, core

CLOCK_MARGIN_MILLISECONDS = 60_000
"""How far Valkey's clock may run ahead of the clocks of Pulsar's producers."""


def count_landed(client: Client, topic: str, identity: str, since: int) -> int:
    """How many messages of the cut *identity* the partition's topic holds, looking at what came after *since*.

    This is what makes a replay safe where the broker does not know the producer any more: its memory of an idle
    producer ends after 6 hours (`brokerDeduplicationProducerInactivityTimeoutMinutes`), or was never switched on.
    """
    reader = client.create_reader(topic, core.MessageId.earliest)
    try:
        reader.seek(max(since - CLOCK_MARGIN_MILLISECONDS, 0))
        found = 0
        while reader.has_message_available():
            message = reader.read_next(timeout_millis=10_000)
            found += message.properties().get("HEADRACE_CUT") == identity
        return found
    finally:
        reader.close()
