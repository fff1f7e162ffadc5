"""Rate limit and circuit breaker of a bridge: what its pods left in Valkey, and what that means. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.status import ConditionType, Reason, Status
from headrace.reconcile.conditions import Finding
from headrace.reconcile.snapshot import Numbers

HELD_SECONDS = 60
"""A rate limit that held messages back so lately counts as holding them back."""

_VALKEY = "valkey"
"""The destination of a bridge that reads from Pulsar, as its pods name it; the others are topics."""


def questions(bridge: PulsarBridge, prefix: str) -> list[tuple[str, ...]]:
    """The commands whose answers :func:`limits` reads. *prefix*: of the bridge's own keys."""
    asked: list[tuple[str, ...]] = []
    if bridge.spec.circuit_breaker:
        asked.append(("HMGET", f"{prefix}:breaker", *_destinations(bridge)))
    if bridge.spec.rate_limit:
        asked += [("HGET", f"{prefix}:rate", "held"), ("TIME",)]
    return asked


def limits(bridge: PulsarBridge, answers: Sequence[Any]) -> dict[str, Any]:
    """The fields of :class:`Numbers` that the *answers* give. What is not as the pods write it counts as nothing."""
    rest: list[Any] = list(answers)
    found: dict[str, Any] = {}
    if bridge.spec.circuit_breaker:
        known = rest.pop(0)
        found["open_circuits"] = tuple(_open(_destinations(bridge), known)) if isinstance(known, list) else None
    if bridge.spec.rate_limit:
        held, now = rest
        found["rate_limited"] = _held(held, now)
    return found


def limit_findings(bridge: PulsarBridge, numbers: Numbers) -> list[Finding]:
    """DestinationReady and RateLimited, where the spec has what they speak of, while the bridge is not suspended."""
    spec, found = bridge.spec, []
    if spec.suspend:
        return []
    if spec.circuit_breaker and numbers.open_circuits is not None:
        found.append(_destination(numbers.open_circuits, spec.circuit_breaker.open_seconds))
    if spec.rate_limit and numbers.rate_limited is not None:
        found.append(_rate(numbers.rate_limited, spec.rate_limit.per_second))
    return found


def _destination(circuits: Sequence[tuple[str, str]], seconds: int) -> Finding:
    kind = ConditionType.DESTINATION_READY
    if not circuits:
        return Finding.good(kind, "The destination takes messages")
    said = "; ".join(f"{destination} failed again and again: {error}" for destination, error in circuits)
    return Finding(kind, Status.FALSE, Reason.CIRCUIT_OPEN, f"{said}. It is tried again every {seconds} s")


def _rate(limited: bool, rate: int) -> Finding:
    kind = ConditionType.RATE_LIMITED
    if limited:
        return Finding.good(kind, f"More than {rate} messages a second come; the rest waits", Reason.LIMIT_REACHED)
    return Finding(kind, Status.FALSE, Reason.BELOW_LIMIT, f"Fewer than {rate} messages a second come")


def _destinations(bridge: PulsarBridge) -> tuple[str, ...]:
    sink = bridge.spec.sink.pulsar
    return (sink.topic,) if sink else (_VALKEY, bridge.spec.dead_letter_topic)


def _open(destinations: Sequence[str], known: Sequence[bytes | None]) -> Iterator[tuple[str, str]]:
    for destination, wire in zip(destinations, known, strict=True):
        try:
            state = json.loads(wire or b"{}")
        except ValueError:
            continue
        if isinstance(state, dict) and state.get("opened_at") is not None:
            yield destination, str(state.get("error"))


def _held(held: Any, now: Any) -> bool | None:
    try:
        return int(now[0]) - int(held or 0) / 1000 < HELD_SECONDS
    except (TypeError, ValueError, LookupError):
        return None
