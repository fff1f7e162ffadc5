"""What the probes answer. Loops write it, the HTTP server reads it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from headrace.process.failure import Failure, failure_of
from headrace.process.logs import Seldom

PATIENCE_SECONDS = 120.0
"""A loop that did not turn for so long hangs; every wait on a broker is shorter than that."""

PROOF_SECONDS = 6.0
"""How long it counts that a side served a loop; what is at rest proves it once a second or so."""

SILENT = "Silent"
STARTING = Failure("Starting", "nothing was moved yet, and nothing shows that it could be")

_log = logging.getLogger(__name__)


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


class Standing:
    """How one loop stands with one side it needs, such as Valkey or Pulsar. Belongs to that loop alone.

    It is well while the loop has moved something, or proved that it could, a moment ago. What was said long ago is no
    proof, so a loop that hangs in a call is not well either.
    """

    def __init__(
        self,
        loop: str,
        side: str,
        failures: Counter | None = None,
        hint: Callable[[], Failure | None] = lambda: None,
        patience_seconds: float = PROOF_SECONDS,
    ) -> None:
        self._loop = loop
        self.side = side
        self._failures = failures
        self._hint = hint
        self._patience = patience_seconds
        self._failure: Failure | None = STARTING
        self._served_at = time.monotonic()
        self._needed = True
        self._seldom = Seldom()

    def served(self) -> None:
        """The side just took or gave something, or proved that it would. That a connection is open proves nothing."""
        self._served_at = time.monotonic()
        self._failure = None
        self._needed = True

    def failed(self, cause: Exception | Failure) -> Failure:
        """The side did not serve the loop: it is counted, logged once in a while, and not well until :meth:`served`."""
        failure = cause if isinstance(cause, Failure) else failure_of(cause)
        self._failure = failure
        self._needed = True
        if self._failures is not None:
            self._failures.labels(side=self.side, reason=failure.reason).inc()
        if self._seldom(str(failure)):
            _log.warning("%s: %s does not serve us: %s", self._loop, self.side, failure)
        return failure

    def rest(self) -> None:
        """The loop does not need the side for now, until it speaks of it again."""
        self._needed = False

    def problem(self) -> Failure | None:
        """Why the loop does not stand well; None when it does."""
        if not self._needed:
            return None
        silent = time.monotonic() - self._served_at
        if self._failure is None and silent > self._patience:
            return self._hint() or Failure(
                SILENT, f"nothing was moved, and nothing shows that it could be, for {silent:.0f} s"
            )
        return self._failure

    def __str__(self) -> str:
        return f"{self._loop}: {self.side}"


class Health:
    """Liveness says that the loops turn; readiness that each of them moves something, or has just proved that it could.

    A broker that is away makes a process not ready and never not live: a restart would not bring it back (P5).
    """

    def __init__(self, connected: Gauge | None = None, failures: Counter | None = None) -> None:
        """*connected*: by side, 1 while all loops stand well with it. *failures*: by side and reason."""
        self._ticks: dict[str, Tick] = {}
        self._standings: dict[tuple[str, str], Standing] = {}
        self._connected = connected
        self._failures = failures
        self._registered = False

    def loop(self, name: str) -> Tick:
        """Register a loop."""
        self._ticks[name] = Tick()
        return self._ticks[name]

    def standing(
        self,
        loop: str,
        side: str,
        hint: Callable[[], Failure | None] = lambda: None,
        patience_seconds: float = PROOF_SECONDS,
    ) -> Standing:
        """How *loop*, as people call it, stands with *side*, which readiness needs from now on.

        *hint*: asked what is the matter when the loop itself has said nothing for *patience_seconds*.
        """
        standing = Standing(loop, side, self._failures, hint, patience_seconds)
        if self._registered:
            standing.served()  # what begins later is given time to show
        self._standings = {**self._standings, (loop, side): standing}
        if self._connected is not None:
            self._connected.labels(side=side).set_function(lambda: float(self._is_well(side)))
        return standing

    def done(self, name: str) -> None:
        """The loop *name* ended as it should."""
        self._ticks.pop(name, None)
        self._standings = {key: standing for key, standing in self._standings.items() if key[0] != name}

    def register(self) -> None:
        """The process is set up."""
        self._registered = True

    def not_live(self) -> list[str]:
        """Why the process should be restarted; empty when it should not."""
        ages = {name: tick.age_seconds() for name, tick in dict(self._ticks).items()}
        return [f"{name} did not turn for {age:.0f} s" for name, age in ages.items() if age > PATIENCE_SECONDS]

    def not_ready(self) -> list[str]:
        """Why the process is not at work, a line for each loop and side; empty when it is."""
        problems = [] if self._registered else ["starting"]
        found = ((standing, standing.problem()) for standing in self._standings.values())
        return [*problems, *(f"{standing}: {problem}" for standing, problem in found if problem), *self.not_live()]

    def _is_well(self, side: str) -> bool:
        return all(each.problem() is None for each in self._standings.values() if each.side == side)
