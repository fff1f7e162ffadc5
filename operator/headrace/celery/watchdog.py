"""Says when a worker that takes no tasks, although some wait, should begin anew. Pure."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

RESTARTS_PER_HOUR = 3
"""Of each kind. More would be a crash loop, and would not help."""
HOUR_SECONDS = 3600.0


class Remedy(StrEnum):
    """What to do about a consumer that is deaf."""

    CONSUMER = "Consumer"
    """Connect anew."""
    PROCESS = "Process"
    """End the process; the kubelet starts another."""


class Watchdog:
    """Counts how long tasks wait while this process holds none, and takes none.

    A broker that is away, or is being connected to, stops the count: a restart would not bring it back (P5).
    """

    def __init__(self, patience_seconds: float, period_seconds: float) -> None:
        """*period_seconds*: about the time between two looks. Of a longer gap, in which this process stood still
        itself, no more than two periods count."""
        self._patience = patience_seconds
        self._longest_step = 2 * period_seconds
        self._last: float | None = None
        self._taken = 0
        self._restarts: deque[float] = deque()
        self._in_vain = False
        self.idle_seconds = 0.0
        """How long tasks have been waiting for nobody."""

    def look(self, now: float, *, waiting: int, held: int, taken: int, connected: bool) -> Remedy | None:
        """One look at *now* (monotonic): *waiting* in the queues, *held* here, *taken* since the start.

        The first remedy is a new connection; when nothing came of it, a new process, which the caller must limit to
        `RESTARTS_PER_HOUR` because this count ends with the process.
        """
        step = 0.0 if self._last is None else min(now - self._last, self._longest_step)
        progress = held > 0 or taken != self._taken
        self._last, self._taken = now, taken
        if progress:
            self._in_vain = False
        if progress or not waiting or not connected:
            self.idle_seconds = 0.0
            return None
        self.idle_seconds += step
        if self.idle_seconds < self._patience:
            return None
        self.idle_seconds = 0.0
        while self._restarts and now - self._restarts[0] >= HOUR_SECONDS:
            self._restarts.popleft()
        if self._in_vain or len(self._restarts) >= RESTARTS_PER_HOUR:
            return Remedy.PROCESS
        self._in_vain = True
        self._restarts.append(now)
        return Remedy.CONSUMER
