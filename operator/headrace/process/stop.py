"""The staged stop: SIGTERM asks, loops finish what they hold, the rest is cut off in time."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading

from headrace.process.connection_retry import EXHAUSTED, ConnectionRetry, configured

_log = logging.getLogger(__name__)


class Stop:
    """Set by SIGTERM or SIGINT; loops look at it and wait with it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def on_signals(self) -> None:
        """Stop at SIGTERM and SIGINT. Call in the main thread.

        A Python handler runs in the main thread between any two steps of it, so also while that one holds the lock of
        the event, and would wait for it for ever. A thread of its own sets the event.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._heed, args=(reader,), name="signals", daemon=True).start()

    def _heed(self, reader: int) -> None:
        os.read(reader, 1)
        self._event.set()

    def request(self) -> None:
        """Stop now."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the stop, at most *seconds*; whether it came."""
        return self._event.wait(seconds)


class Backoff:
    """Waits between attempts at a broker: doubling, with jitter, capped, unless VAPI_RETRY_* say otherwise."""

    def __init__(
        self, base_seconds: float = 0.2, cap_seconds: float = 5.0, retry: ConnectionRetry | None = None
    ) -> None:
        """*retry*: what the environment says when left out. Raises BadConnectionRetryError."""
        self._base = base_seconds
        self._cap = cap_seconds
        self._retry = retry or configured()
        self._failures = 0

    def reset(self) -> None:
        """An attempt succeeded."""
        self._failures = 0

    def next_seconds(self) -> float:
        """How long to wait after one more failure."""
        ceiling = self._retry.longest_seconds(self._failures, self._base, self._cap)
        self._failures += 1
        if self._failures == self._retry.attempts:
            # A broker that is away for long must end no process: what ends is the row of growing waits.
            self._failures = 0
            EXHAUSTED.inc()
            _log.warning("%d attempts in a row failed; the waits begin anew", self._retry.attempts)
        return random.uniform(ceiling / 2, ceiling)
