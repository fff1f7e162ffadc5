"""Reads entries once more, by a reader of its own: what was damaged on the way, or dropped, comes whole this time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from headrace.bridge.cursor import Place
from headrace.bridge.pulsar_library import Client, Message
from headrace.bridge.topic_reader import TopicReader, remaining

QUIET_SECONDS = 5.0
"""How long nothing may come before what is left is given up. A reader says that there is more while the last entries
are such as it cannot give out."""
RECEIVER_QUEUE = 20


class SecondReading:
    """Reads parts of topics."""

    def __init__(self, client: Client, waiting: Callable[[], None]) -> None:
        """*waiting* is called about once a second."""
        self._client = client
        self._waiting = waiting

    def messages(self, partition: str, first: Place, last: Place) -> Iterator[tuple[Place, Message]]:
        """What the topic *partition* gives out of the entries from *first* to *last*, with its place: of a message in
        chunks that of the last. Raises PulsarError."""
        reader = TopicReader(self._client, partition, first, queue=RECEIVER_QUEUE)
        try:
            for message in remaining(reader, QUIET_SECONDS, self._waiting):
                identity = message.message_id()
                place = identity.ledger_id(), identity.entry_id()
                if place > last:
                    return
                yield place, message
                if place == last and identity.batch_index() < 0:
                    return
        finally:
            reader.close()
