"""What the probes answer. Loops write it, the HTTP server reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import Gauge

PATIENCE_SECONDS = 120.0
"""A loop that did not turn for so long hangs; every wait on a broker is shorter than that."""


class Tick:
    """One loop's sign of life. Call it at every turn, at least every minute or so."""

    def __init__(self) -> None:
        self._last: float | None = time.monotonic()

    def __call__(self) -> None:
        """The loop turned."""
        self._last = time.monotonic()

    def pause(self) -> None:
        """The loop waits for something whose end is not ours to say; the next turn ends the pause."""
        self._last = None

    @property
    def paused(self) -> bool:
        """Whether the loop waits for something whose end is not ours to say."""
        return self._last is None

    def age_seconds(self) -> float:
        """How long ago the loop turned; 0 while it pauses."""
        last = self._last
        return 0.0 if last is None else time.monotonic() - last


class Health:
    """Liveness says that the loops turn; readiness that the process is at work and its brokers are there.

    A broker that is away makes a process not ready and never not live: a restart would not bring it back (P5).
    """

    def __init__(self, sides: Iterable[str], connected: Gauge | None = None) -> None:
        self._ticks: dict[str, Tick] = {}
        self._connected = dict.fromkeys(sides, False)
        self._others: dict[str, bool] = {}
        self._refusals: dict[str, str] = {}
        self._gauge = connected
        self._registered = False
        for side in self._connected:
            self.connection(side, False)

    def loop(self, name: str) -> Tick:
        """Register a loop."""
        self._ticks[name] = Tick()
        return self._ticks[name]

    def done(self, name: str) -> None:
        """The loop *name* ended as it should."""
        self._ticks.pop(name, None)

    def register(self) -> None:
        """The process is set up."""
        self._registered = True

    def connection(self, side: str, connected: bool) -> None:
        """Whether *side* is reachable: a broker that was named at first, or anything else that readiness needs."""
        if side in self._connected:
            self._connected[side] = connected
            if self._gauge is not None:
                self._gauge.labels(side=side).set(connected)
        else:
            self._others[side] = connected

    def refusal(self, part: str, text: str | None) -> None:
        """Why *part* of the process may not work, as a sentence for people; None when it may."""
        refusals = {**self._refusals, part: text or ""}
        self._refusals = {known: why for known, why in refusals.items() if why}

    def not_live(self) -> list[str]:
        """Why the process should be restarted; empty when it should not."""
        ages = {name: tick.age_seconds() for name, tick in dict(self._ticks).items()}
        return [f"{name} did not turn for {age:.0f} s" for name, age in ages.items() if age > PATIENCE_SECONDS]

    def not_ready(self) -> list[str]:
        """Why the process is not at work; empty when it is."""
        problems = [] if self._registered else ["starting"]
        sides = self._connected | self._others
        problems += [f"{side} is not reachable" for side, connected in sides.items() if not connected]
        return [*problems, *self._refusals.values(), *self.not_live()]
