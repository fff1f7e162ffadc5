"""The records a task leaves: a result for the outbox, or a dead letter. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from headrace.process.trace import TRACE

ERROR_LENGTH = 1000
OURS = "HEADRACE_"
REPLAYS = "HEADRACE_REPLAYS"
"""How often the message was replayed: its next dead letter must still say so."""
MARKS = frozenset({"REAL_TOPIC", "ORIGIN_MESSAGE_ID", "RECONSUMETIMES"})


def origin_of(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the bridge noted about the Pulsar message that the task was made of; empty for other tasks."""
    origin = (headers or {}).get("headrace")
    return origin if isinstance(origin, dict) else {}


def _properties(origin: dict[str, Any], headers: Mapping[str, Any] | None) -> dict[str, str]:
    carried = {str(name): str(value) for name, value in (origin.get("properties") or {}).items()}
    # what an earlier life as a dead letter left is not true of this one
    properties = {name: value for name, value in carried.items() if name not in MARKS and not name.startswith(OURS)}
    # An instrumented task sets a span of its own here. The state belongs to the parent, so they come together.
    trace = {name: text for name in TRACE if isinstance(text := (headers or {}).get(name), str)}
    if "traceparent" in trace:
        properties = {name: value for name, value in properties.items() if name not in TRACE} | trace
    return properties


def result(value: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of a task's return value."""
    origin = origin_of(headers)
    return {
        "type": "Result",
        "payload": value,
        "key": origin.get("key"),
        "properties": _properties(origin, headers),
        "eventTimeMillis": None,
        "reason": None,
        "error": None,
        "attempts": None,
    }


def dead_letter(
    *,
    reason: str,
    error: str,
    attempts: int,
    source: str,
    headers: Mapping[str, Any] | None,
    payload: Any,
    raw: bytes | None = None,
) -> dict[str, Any]:
    """The record of a task that failed for good. *raw* replaces the payload by bytes that nobody could read."""
    origin = origin_of(headers)
    properties = _properties(origin, headers) | {"HEADRACE_SOURCE": source}
    carried = origin.get("properties") or {}
    if REPLAYS in carried:
        properties[REPLAYS] = str(carried[REPLAYS])
    if origin.get("topic"):
        properties["REAL_TOPIC"] = str(origin["topic"])
        properties["ORIGIN_MESSAGE_ID"] = str(origin.get("messageId", ""))
    body = {"payloadBase64": base64.b64encode(raw).decode()} if raw is not None else {"payload": payload}
    return {
        "type": "DeadLetter",
        **body,
        "key": origin.get("key"),
        "properties": properties,
        "eventTimeMillis": None,
        "reason": reason,
        "error": error[:ERROR_LENGTH],
        "attempts": attempts,
    }


def task_payload(name: str, task_id: str, args: Any, kwargs: Any, headers: Mapping[str, Any] | None) -> Any:
    """What a dead letter holds: the Pulsar message's own payload, or for other tasks the call."""
    if origin_of(headers) and isinstance(args, list | tuple) and len(args) == 1 and not kwargs:
        return args[0]
    return {"task": name, "id": task_id, "args": list(args or ()), "kwargs": dict(kwargs or {})}
