"""How many messages the client may ask for in advance, so that they take no more memory than they may.

The client counts them, whatever their size. So their number follows from the size of the messages: of those that the
topic holds when the consumer is opened, of those that came since, and, while nothing can be moved on and none is
looked at, from how the memory of the process grows. Another number needs another consumer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024 * 1024
"""What all queues of a loop hold together, about."""
UNKNOWN_BYTES = 64 * 1024
"""What a message is taken for before anything is known of them."""
FADING = 0.95
"""How fast large messages are forgotten, from one batch to the next."""
GROWTH_SECONDS = 60.0
"""A queue grows once in so long: nothing is moved while the consumer is opened anew."""

_STATM = Path("/proc/self/statm")


class ReceiverQueue:
    """The size of one loop's receiver queues, one for each partition."""

    def __init__(self, most: int, *, grows: bool) -> None:
        """*most*: messages at most. *grows*: the consumer may be opened anew for the sake of speed."""
        self._most = most
        self._grows = grows
        self._typical = 0.0
        """Bytes of a message."""
        self._partitions: dict[str, int] = {}
        self._topics = 1
        self._begin: int | None = None
        self._guessed = True
        self._grown = -GROWTH_SECONDS
        self.size = most
        """Messages that the consumer asks for in advance, for each partition."""

    def knows(self, topic: str) -> bool:
        """Whether *topic* was learned."""
        return topic in self._partitions

    def learn(self, topic: str, stats: Mapping[str, Mapping[str, Any]]) -> None:
        """What the admin API's `internalStats` say of the partitions of *topic*.

        Raises ``KeyError``, ``TypeError`` and ``ValueError`` for what is none.
        """
        self._partitions[topic] = len(stats)
        for each in stats.values():
            current = {"entries": each["currentLedgerEntries"], "size": each["currentLedgerSize"]}
            for ledger in (*each["ledgers"], current):
                if int(ledger["entries"]):
                    self._typical = max(self._typical, int(ledger["size"]) / int(ledger["entries"]))

    def open(self, topics: int) -> int:
        """The size for a consumer of so many topics, which is opened now."""
        self.size = self._allowed(topics)
        self._topics = topics
        self._begin = _resident_bytes()
        return self.size

    def observe(self, messages: int, size: int) -> bool:
        """So many messages of *size* bytes came at once; whether the consumer should have a queue of another size."""
        average = size / messages
        # an entry may be a batch, so the guess may be too high by far
        self._typical = average if self._guessed else max(average, self._typical * FADING)
        self._guessed = False
        allowed = self._allowed(self._topics)
        if self.size > 2 * allowed:
            return True
        if not self._grows or messages * 2 < self.size or allowed < 4 * self.size:
            return False
        last, now = self._grown, time.monotonic()
        if now - last < GROWTH_SECONDS:
            return False
        self._grown = now
        return True

    def overflows(self) -> bool:
        """Whether the process took so much memory since the opening that it must be the queues', which are to have an
        eighth of their size then."""
        resident = _resident_bytes()
        if self._begin is None or resident is None or resident - self._begin < 2 * MOST_BYTES or self.size == 1:
            return False
        self._typical = max(self._typical, MOST_BYTES / self._count(self._topics) / max(self.size / 8, 1))
        return True

    def _count(self, topics: int) -> int:
        return max(sum(self._partitions.values()), topics, 1)

    def _allowed(self, topics: int) -> int:
        room = MOST_BYTES / self._count(topics) / (self._typical or UNKNOWN_BYTES)
        return max(min(int(room), self._most), 1)


def _resident_bytes() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
