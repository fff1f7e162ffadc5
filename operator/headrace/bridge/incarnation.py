"""Is the topic still the one that the watermark speaks of?"""

from __future__ import annotations

import time

from headrace.bridge.batch import Position
from headrace.bridge.pulsar_library import Client, library

CHECK_SECONDS = 10.0


class Incarnations:
    """A Pulsar that was set up anew counts its ledgers from the beginning, so all its messages lie below an old
    watermark and would be dropped as redelivered. Such a topic ends before the watermark, which no living one does.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._checked: dict[str, float] = {}

    def due(self, partition: str) -> bool:
        """Whether *partition* was not looked at lately."""
        last = self._checked.get(partition)
        return last is None or time.monotonic() - last > CHECK_SECONDS

    def ends_before(self, partition: str, mark: Position) -> bool:
        """Whether *partition*, which holds at least one message, ends before *mark*."""
        ledger, entry, _ = mark
        start = library.MessageId(-1, ledger, entry, -1)
        reader = self._client.create_reader(partition, start, start_message_id_inclusive=True)
        try:
            # The client answers by comparing the topic's last id with the start: nothing needs to be read.
            reached = reader.has_message_available()
        finally:
            reader.close()
        self._checked[partition] = time.monotonic()
        return not reached
