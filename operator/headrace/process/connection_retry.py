"""How often and how fast a broker that is away is tried again: environment variables, for each of our processes."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter

LONGEST_SECONDS = 60.0
"""Nothing may wait longer: a loop that does not turn for two minutes passes for one that hangs."""

REGISTRY = CollectorRegistry()
"""Series that every process of ours has."""

EXHAUSTED = Counter(
    "headrace_connection_retries_exhausted",
    "Times that VAPI_RETRY_ATTEMPTS attempts in a row failed; the waits began anew.",
    registry=REGISTRY,
)


class BadConnectionRetryError(Exception):
    """A variable whose value cannot be used. The text is one sentence that names it."""


class Growth(StrEnum):
    """How the waits grow from one attempt to the next."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True)
class ConnectionRetry:
    """What the variables say; None: each place has its own value."""

    attempts: int | None = None
    """VAPI_RETRY_ATTEMPTS: attempts in a row after which the waits begin anew. Unset: they never do."""
    growth: Growth = Growth.EXPONENTIAL
    """VAPI_RETRY_BACKOFF_TYPE: constant, linear or exponential (the default)."""
    base_seconds: float | None = None
    """VAPI_RETRY_BACKOFF_BASE: the first wait."""
    cap_seconds: float | None = None
    """VAPI_RETRY_BACKOFF_CAP: the longest wait."""

    def longest_seconds(self, failures: int, base_seconds: float, cap_seconds: float) -> float:
        """The wait after so many failures in a row (0: after the first), without jitter.

        *base_seconds* and *cap_seconds* count where the variables say nothing.
        """
        base = base_seconds if self.base_seconds is None else self.base_seconds
        cap = max(cap_seconds, base) if self.cap_seconds is None else self.cap_seconds
        grown = {
            Growth.CONSTANT: base,
            Growth.LINEAR: base * (failures + 1),
            Growth.EXPONENTIAL: base * 2.0 ** min(failures, 32),
        }
        return min(cap, grown[self.growth])


@functools.cache
def configured() -> ConnectionRetry:
    """What this process' environment says. Raises BadConnectionRetryError."""
    return from_environment(os.environ)


def from_environment(environment: Mapping[str, str]) -> ConnectionRetry:
    """Read the variables. Raises BadConnectionRetryError."""
    growth = environment.get("VAPI_RETRY_BACKOFF_TYPE") or Growth.EXPONENTIAL
    if growth.lower() not in list(Growth):
        raise BadConnectionRetryError(
            f"VAPI_RETRY_BACKOFF_TYPE must be constant, linear or exponential, not {growth!r}."
        )
    retry = ConnectionRetry(
        _attempts(environment.get("VAPI_RETRY_ATTEMPTS")),
        Growth(growth.lower()),
        _seconds(environment, "VAPI_RETRY_BACKOFF_BASE"),
        _seconds(environment, "VAPI_RETRY_BACKOFF_CAP"),
    )
    if retry.base_seconds and retry.cap_seconds and retry.cap_seconds < retry.base_seconds:
        raise BadConnectionRetryError("VAPI_RETRY_BACKOFF_CAP must not be less than VAPI_RETRY_BACKOFF_BASE.")
    return retry


def _attempts(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise BadConnectionRetryError(
            f"VAPI_RETRY_ATTEMPTS must be a whole number of at least 1, not {text!r}; leave it out for no limit."
        )
    return int(text)


def _seconds(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= LONGEST_SECONDS:
        raise BadConnectionRetryError(
            f"{name} must be a number of seconds between 0.001 and {LONGEST_SECONDS:.0f}, not {text!r}."
        )
    return value
