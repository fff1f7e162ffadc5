"""The records a task leaves: a result for the outbox, or a dead letter. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from headrace.process.letter_properties import ADDED, JAVA, KEPT, OURS, REPLAYS, kept
from headrace.process.trace import TRACE

ERROR_LENGTH = 1000


def origin_of(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the bridge noted about the Pulsar message that the task was made of; empty for other tasks."""
    origin = (headers or {}).get("headrace")
    return origin if isinstance(origin, dict) else {}


def _carried(origin: Mapping[str, Any]) -> dict[str, str]:
    found = origin.get("properties")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _trace(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """The span that an instrumented task set; empty without. The state belongs to the parent: they come together."""
    trace = {name: text for name in TRACE if isinstance(text := (headers or {}).get(name), str)}
    return trace if "traceparent" in trace else {}


def _unmarked(properties: Mapping[str, str]) -> dict[str, str]:
    """Without names that say something of a letter: what an earlier life left is not true of a result."""
    return {name: text for name, text in properties.items() if name not in JAVA and not name.startswith(OURS)}


def _of_result(origin: Mapping[str, Any], headers: Mapping[str, Any] | None) -> dict[str, str]:
    properties = _unmarked(_carried(origin))
    if trace := _trace(headers):
        properties = {name: text for name, text in properties.items() if name not in TRACE} | trace
    return properties


def _of_letter(origin: Mapping[str, Any], headers: Mapping[str, Any] | None) -> dict[str, str]:
    """The original's own, so that a replay finds them, and what else is to be known of it."""
    carried = _carried(origin)
    if "eventTimeMillis" in origin:
        properties = kept(carried)
        replays = origin.get("replays")
    else:  # a bridge of an older version made the task: what an earlier life left stands among them
        properties = _unmarked(carried)
        replays = carried.get(REPLAYS)
    if replays:
        properties[REPLAYS] = str(replays)
    trace = _trace(headers)
    if any(carried.get(name) != text for name, text in trace.items()):
        before = {name: text for name, text in carried.items() if name in TRACE}
        properties = {name: text for name, text in properties.items() if name not in TRACE}
        properties |= {KEPT + name: text for name, text in before.items()} | trace
        if added := trace.keys() - before.keys():
            properties[ADDED] = ",".join(sorted(added))
    return properties


def result(value: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of a task's return value."""
    origin = origin_of(headers)
    return {
        "type": "Result",
        "payload": value,
        "key": origin.get("key"),
        "properties": _of_result(origin, headers),
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
    properties = _of_letter(origin, headers) | {"HEADRACE_SOURCE": source}
    if origin.get("topic"):
        properties["REAL_TOPIC"] = str(origin["topic"])
        properties["ORIGIN_MESSAGE_ID"] = str(origin.get("messageId", ""))
    body = {"payloadBase64": base64.b64encode(raw).decode()} if raw is not None else {"payload": payload}
    return {
        "type": "DeadLetter",
        **body,
        "key": origin.get("key"),
        "properties": properties,
        "eventTimeMillis": origin.get("eventTimeMillis") or None,
        "reason": reason,
        "error": error[:ERROR_LENGTH],
        "attempts": attempts,
    }


def task_payload(name: str, task_id: str, args: Any, kwargs: Any, headers: Mapping[str, Any] | None) -> Any:
    """What a dead letter holds: the Pulsar message's own payload, or for other tasks the call."""
    if origin_of(headers) and isinstance(args, list | tuple) and len(args) == 1 and not kwargs:
        return args[0]
    return {"task": name, "id": task_id, "args": list(args or ()), "kwargs": dict(kwargs or {})}
