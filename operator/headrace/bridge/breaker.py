"""The circuit breaker of one destination: a state machine. Pure; times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import orjson

from headrace.api.policy import CircuitBreaker

ERROR_LENGTH = 300
"""Longest error text that is kept, in characters."""


class State(StrEnum):
    """What may be sent."""

    CLOSED = "Closed"
    """Everything."""
    HALF_OPEN = "HalfOpen"
    """Small batches, to see whether the destination is back."""
    OPEN = "Open"
    """Nothing."""


@dataclass(frozen=True)
class Breaker:
    """What is known of the destination. Each event makes the next one."""

    failures: int = 0
    """In a row."""
    opened_at: float | None = None
    """When it opened last; None while it is closed."""
    probes: int = 0
    """Batches in a row that succeeded since."""
    error: str = ""
    """What the destination said when it opened."""

    def wait_seconds(self, policy: CircuitBreaker, now: float) -> float:
        """How long nothing may be sent from now on; 0 when something may."""
        if self.opened_at is None:
            return 0.0
        passed = now - self.opened_at
        # replicas' clocks differ a little; one that was set back by more must not keep it open for ever
        return policy.open_seconds - passed if -policy.open_seconds <= passed < policy.open_seconds else 0.0

    def state(self, policy: CircuitBreaker, now: float) -> State:
        """What may be sent now."""
        if self.opened_at is None:
            return State.CLOSED
        return State.OPEN if self.wait_seconds(policy, now) > 0 else State.HALF_OPEN

    def failed(self, policy: CircuitBreaker, now: float, error: str) -> Breaker:
        """The destination failed."""
        state = self.state(policy, now)
        if state is State.OPEN:
            return self  # begun before it opened: nothing new
        failures = self.failures + 1
        if state is State.CLOSED and failures < policy.failure_threshold:
            return replace(self, failures=failures)
        return Breaker(failures, now, error=error[:ERROR_LENGTH])

    def succeeded(self, policy: CircuitBreaker) -> Breaker:
        """The destination took a batch."""
        probes = self.probes + 1
        if self.opened_at is None or probes >= policy.half_open_probes:
            return Breaker()
        return replace(self, probes=probes)

    def to_wire(self) -> bytes:
        """As stored in Valkey, where the operator reads it too; empty for one with nothing to say."""
        return b"" if self == Breaker() else orjson.dumps(asdict(self))

    @classmethod
    def parse(cls, wire: bytes) -> Breaker:
        """The inverse of :meth:`to_wire`. What somebody else wrote there counts as nothing."""
        try:
            known = orjson.loads(wire)
            opened_at = known["opened_at"]
            return cls(
                int(known["failures"]),
                None if opened_at is None else float(opened_at),
                int(known["probes"]),
                str(known["error"]),
            )
        except (ValueError, TypeError, KeyError):
            return cls()
