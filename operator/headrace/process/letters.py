"""The records a task leaves: a result for the outbox, or a dead letter. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from headrace.process.exact_json import dumps, read, readable, utf8
from headrace.process.trace import TRACE

ERROR_LENGTH = 1000
OURS = "HEADRACE_"
REPLAYS = "HEADRACE_REPLAYS"
"""How often the message was replayed: its next dead letter must still say so."""
PAYLOAD = "payload"
"""In the header ``headrace`` of a task that is tried again: its payload, as it came."""
MARKS = frozenset({"REAL_TOPIC", "ORIGIN_MESSAGE_ID", "RECONSUMETIMES"})


def origin_of(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the bridge noted about the Pulsar message that the task was made of; empty for other tasks."""
    origin = (headers or {}).get("headrace")
    return origin if isinstance(origin, dict) else {}


def _carried(origin: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that the Pulsar message had."""
    properties = origin.get("properties")
    return properties if isinstance(properties, dict) else {}


def _key(origin: Mapping[str, Any]) -> str | None:
    key = origin.get("key")
    return utf8(key) if isinstance(key, str) else None


def _properties(origin: dict[str, Any], headers: Mapping[str, Any] | None) -> dict[str, str]:
    carried = {utf8(str(name)): utf8(str(value)) for name, value in _carried(origin).items()}
    # what an earlier life as a dead letter left is not true of this one
    properties = {name: value for name, value in carried.items() if name not in MARKS and not name.startswith(OURS)}
    # An instrumented task sets a span of its own here. The state belongs to the parent, so they come together.
    trace = {name: utf8(text) for name in TRACE if isinstance(text := (headers or {}).get(name), str)}
    if "traceparent" in trace:
        properties = {name: value for name, value in properties.items() if name not in TRACE} | trace
    return properties


def result(value: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of a task's return value. Raises ``TypeError`` or ``ValueError`` for a value that is not JSON."""
    origin = origin_of(headers)
    return {
        "type": "Result",
        "payload": orjson.Fragment(dumps(value)),
        "key": _key(origin),
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
    payload: bytes | None,
    raw: bytes | None = None,
) -> dict[str, Any]:
    """The record of a task that failed for good. *payload*: JSON text. *raw* replaces it by bytes that nobody could
    read."""
    origin = origin_of(headers)
    properties = _properties(origin, headers) | {"HEADRACE_SOURCE": source}
    carried = _carried(origin)
    if REPLAYS in carried:
        properties[REPLAYS] = utf8(str(carried[REPLAYS]))
    if origin.get("topic"):
        properties["REAL_TOPIC"] = utf8(str(origin["topic"]))
        properties["ORIGIN_MESSAGE_ID"] = utf8(str(origin.get("messageId", "")))
    body: dict[str, Any]
    if raw is not None:
        body = {"payloadBase64": base64.b64encode(raw).decode()}
    else:
        body = {"payload": orjson.Fragment(payload or b"null")}
    return {
        "type": "DeadLetter",
        **body,
        "key": _key(origin),
        "properties": properties,
        "eventTimeMillis": None,
        "reason": reason,
        "error": utf8(error[:ERROR_LENGTH]),
        "attempts": attempts,
    }


def task_payload(name: str, task_id: str, args: Any, kwargs: Any, headers: Mapping[str, Any] | None) -> bytes:
    """What a dead letter holds, as JSON: the Pulsar message's own payload, or for other tasks the call."""
    named = {utf8(str(key)): readable(value) for key, value in dict(kwargs or {}).items()}
    return call_payload(name, task_id, [readable(each) for each in args or ()], named, headers)


def call_payload(
    name: str, task_id: str, args: Sequence[bytes], kwargs: Mapping[str, bytes], headers: Mapping[str, Any] | None
) -> bytes:
    """The same of arguments that are JSON texts, which stand there as they are."""
    if origin_of(headers) and len(args) == 1 and not kwargs:
        return original(headers) or args[0]
    texts = {key: orjson.Fragment(value) for key, value in kwargs.items()}
    call = {"task": utf8(name), "id": utf8(task_id), "args": [orjson.Fragment(each) for each in args], "kwargs": texts}
    return orjson.dumps(call)


def original(headers: Mapping[str, Any] | None) -> bytes | None:
    """The payload that an earlier attempt noted; None when none did."""
    text = origin_of(headers).get(PAYLOAD)
    if not isinstance(text, str):
        return None
    try:
        read(text.encode())
    except ValueError:
        return None
    return text.encode()


def noting(headers: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """*headers* with the payload, a JSON text, for :func:`original`."""
    return {**headers, "headrace": {**origin_of(headers), PAYLOAD: payload.decode()}}
