"""The records a task leaves: a result for the outbox, or a dead letter. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from headrace.process.exact_json import dumps, read, readable, utf8
from headrace.process.letter_properties import ADDED, FORM, JAVA, KEPT, OURS, REPLAYS, SOURCE, TASK_CALL, kept
from headrace.process.trace import TRACE

ERROR_LENGTH = 1000
PAYLOAD = "payload"
"""In the header ``headrace`` of a task that is tried again: its payload, as it came."""


def origin_of(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the bridge noted about the Pulsar message that the task was made of; empty for other tasks."""
    origin = (headers or {}).get("headrace")
    return origin if isinstance(origin, dict) else {}


def _carried(origin: Mapping[str, Any]) -> dict[str, str]:
    found = origin.get("properties")
    return {utf8(str(name)): utf8(str(value)) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _key(origin: Mapping[str, Any]) -> str | None:
    key = origin.get("key")
    return utf8(key) if isinstance(key, str) else None


def _event_time(origin: Mapping[str, Any]) -> int | None:
    time = origin.get("eventTimeMillis")
    return time if isinstance(time, int) and 0 < time < 2**63 else None


def _trace(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """The span that an instrumented task set; empty without. The state belongs to the parent: they come together."""
    trace = {name: utf8(text) for name in TRACE if isinstance(text := (headers or {}).get(name), str)}
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
        properties[REPLAYS] = utf8(str(replays))
    trace = _trace(headers)
    if any(carried.get(name) != text for name, text in trace.items()):
        before = {name: text for name, text in carried.items() if name in TRACE}
        properties = {name: text for name, text in properties.items() if name not in TRACE}
        properties |= {KEPT + name: text for name, text in before.items()} | trace
        if added := trace.keys() - before.keys():
            properties[ADDED] = ",".join(sorted(added))
    return properties


def result(value: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of a task's return value. Raises ``TypeError`` or ``ValueError`` for a value that is not JSON."""
    origin = origin_of(headers)
    return {
        "type": "Result",
        "payload": orjson.Fragment(dumps(value)),
        "key": _key(origin),
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
    payload: bytes | None,
    raw: bytes | None = None,
    form: str = "",
) -> dict[str, Any]:
    """The record of a task that failed for good. *payload*: JSON text. *raw* replaces it by bytes that nobody could
    read. *form*: what that is, where it is not the payload of a message."""
    origin = origin_of(headers)
    properties = _of_letter(origin, headers) | {SOURCE: source}
    if form:
        properties[FORM] = form
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
        "eventTimeMillis": _event_time(origin),
        "reason": reason,
        "error": utf8(error[:ERROR_LENGTH]),
        "attempts": attempts,
    }


def task_payload(
    name: str, task_id: str, args: Any, kwargs: Any, headers: Mapping[str, Any] | None
) -> tuple[bytes, str]:
    """What a dead letter holds, as JSON, and its form: the Pulsar message's own payload; of other tasks the call."""
    named = {utf8(str(key)): readable(value) for key, value in dict(kwargs or {}).items()}
    return call_payload(name, task_id, [readable(each) for each in args or ()], named, headers)


def call_payload(
    name: str, task_id: str, args: Sequence[bytes], kwargs: Mapping[str, bytes], headers: Mapping[str, Any] | None
) -> tuple[bytes, str]:
    """The same of arguments that are JSON texts, which stand there as they are."""
    if origin_of(headers) and len(args) == 1 and not kwargs:
        return original(headers) or args[0], ""
    texts = {key: orjson.Fragment(value) for key, value in kwargs.items()}
    call = {"task": utf8(name), "id": utf8(task_id), "args": [orjson.Fragment(each) for each in args], "kwargs": texts}
    return orjson.dumps(call), TASK_CALL


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
