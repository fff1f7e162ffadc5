"""The work queue: each key at most once, one pass for a key at a time, some keys at once, backoff with jitter."""

import asyncio
import contextlib
import heapq
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from headrace.process.connection_retry import EXHAUSTED, ConnectionRetry
from headrace.reconcile.kinds import Key

_log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 60.0


@dataclass
class _Entry:
    """One key that waits or is in work."""

    due: float = float("inf")
    """When to work on it; infinite: not at all."""
    thorough: bool = False
    working: bool = False
    since: float = 0.0
    failures: int = 0


class KeyedQueue:
    """Keys with a time each. An earlier time wins; a key that is added while in work is worked on again."""

    def __init__(
        self,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        retry: ConnectionRetry = ConnectionRetry(),  # noqa: B008 - frozen
    ) -> None:
        self._retry = retry
        self._clock = clock
        self._jitter = jitter
        self._entries: dict[Key, _Entry] = {}
        self._heap: list[tuple[float, Key]] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        now = self._clock()
        return sum(entry.due <= now for entry in self._entries.values())

    def oldest_work(self) -> float:
        """Seconds that the longest pass has taken so far."""
        now = self._clock()
        return max((now - entry.since for entry in self._entries.values() if entry.working), default=0.0)

    def add(self, key: Key, after: float = 0.0, *, thorough: bool = False) -> None:
        """Work on *key* in *after* seconds, or earlier when it was to be earlier."""
        entry = self._entries.setdefault(key, _Entry())
        entry.thorough |= thorough
        due = self._clock() + after
        if due < entry.due:
            entry.due = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    async def get(self) -> tuple[Key, bool]:
        """The next due key, and whether it wants a thorough pass. It is in work until ``done``."""
        while True:
            found, wait = self._next()
            if found:
                return found
            # Nothing runs between the look and the wait, so no change can slip through.
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def done(self, key: Key) -> None:
        """The pass went well."""
        entry = self._finish(key)
        entry.failures = 0
        if entry.due == float("inf"):
            del self._entries[key]

    def failed(self, key: Key) -> float:
        """The pass failed: come again after the backoff, which is returned."""
        entry = self._finish(key)
        longest = self._retry.longest_seconds(entry.failures, _FIRST_BACKOFF, _LONGEST_BACKOFF)
        entry.failures += 1
        if entry.failures == self._retry.attempts:
            entry.failures = 0
            EXHAUSTED.inc()
            _log.warning("%s: %d passes in a row failed; the waits begin anew", key, self._retry.attempts)
        delay = longest * (0.5 + self._jitter() / 2)
        self.add(key, delay)
        return delay

    def _finish(self, key: Key) -> _Entry:
        entry = self._entries[key]
        entry.working = False
        if entry.due != float("inf"):
            heapq.heappush(self._heap, (entry.due, key))
            self._changed.set()
        return entry

    def _next(self) -> tuple[tuple[Key, bool] | None, float | None]:
        """A due key that nobody works on, or how long there is none."""
        now = self._clock()
        while self._heap:
            due, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is None or entry.due != due or entry.working:
                heapq.heappop(self._heap)
                continue
            if due > now:
                return None, due - now
            heapq.heappop(self._heap)
            thorough, entry.thorough = entry.thorough, False
            entry.due, entry.working, entry.since = float("inf"), True, now
            return (key, thorough), None
        return None, None
