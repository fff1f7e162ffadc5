"""How long to wait for Pulsar's client before its producers are opened anew.

The client (3.13) mends most by itself, but not all. A topic that is unloaded twice within milliseconds leaves a
producer that calls itself connected and never hears of anything again; one that loses its topic in the first seconds of
its life may never try to connect again; and how often it tries, once in up to a minute, cannot be set. Opening anew
costs little: the broker, or the end of the topic, tells what is there.
"""

from __future__ import annotations

import time

UNCONNECTED_SECONDS = 5.0
SILENT_SECONDS = 20.0
LONGEST_SECONDS = 640.0
"""A broker that is slow, and not deaf, gets more time at each attempt."""


class Patience:
    """Of one loop, for what it waits for."""

    def __init__(self) -> None:
        self._silent_seconds = SILENT_SECONDS
        self._connected = self._heard = time.monotonic()
        self._progress: object = None

    def begin(self) -> None:
        """The wait begins, or begins anew."""
        self._connected = self._heard = time.monotonic()

    def succeeded(self) -> None:
        """What was waited for has come."""
        self._silent_seconds = SILENT_SECONDS

    def unconnected(self, connected: bool) -> str:
        """Why the wait should end; empty when it should not. *connected*: whether all producers say so."""
        now = time.monotonic()
        if connected:
            self._connected = now
        return f"no connection for {UNCONNECTED_SECONDS:.0f} s" if now - self._connected > UNCONNECTED_SECONDS else ""

    def ended(self, connected: bool, progress: object) -> str:
        """The same while something was sent; *progress* is any value that changes when something is confirmed."""
        now = time.monotonic()
        if progress != self._progress:
            self._progress, self._heard = progress, now
        if why := self.unconnected(connected):
            return why
        if now - self._heard <= self._silent_seconds:
            return ""
        waited, self._silent_seconds = self._silent_seconds, min(2 * self._silent_seconds, LONGEST_SECONDS)
        return f"nothing was confirmed for {waited:.0f} s"
