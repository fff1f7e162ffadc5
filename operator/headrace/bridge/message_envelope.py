"""What surrounds a payload: nothing, a JSON object, or a CloudEvent. Pure: the same message gives the same bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from headrace.api.bridge_sink import Envelope

CONTENT_TYPE = "content-type"
CLOUD_EVENT = "application/cloudevents+json"
EVENT_TYPE = "dev.headrace.message"
"""The type of a CloudEvent whose message has no property ``type``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_OURS = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"})

Seal = Callable[[str, str, int, str | None, Mapping[str, str], bytes], bytes]
"""Takes a message's id, source, time (milliseconds since the epoch), key, properties and payload."""


def seal(envelope: Envelope) -> Seal | None:
    """The function that puts a message into *envelope*; None for Raw, which is the payload as it is."""
    return {Envelope.RAW: None, Envelope.JSON: _json, Envelope.CLOUD_EVENTS: _cloud_event}[envelope]


def moment(milliseconds: int) -> str | None:
    """RFC 3339 in UTC; None for what lies beyond the year 9999."""
    try:
        when = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _embedded(payload: bytes) -> orjson.Fragment | None:
    """The payload as a part of a JSON text, byte for byte; None when it is not JSON."""
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return orjson.Fragment(payload)


def _json(
    identity: str, source: str, time: int, key: str | None, properties: Mapping[str, str], payload: bytes
) -> bytes:
    value = _embedded(payload)
    body = {"payloadBase64": base64.b64encode(payload).decode()} if value is None else {"payload": value}
    return orjson.dumps(
        {"id": identity, "source": source, "time": moment(time), "key": key, "properties": dict(properties), **body}
    )


def _cloud_event(
    identity: str, source: str, time: int, key: str | None, properties: Mapping[str, str], payload: bytes
) -> bytes:
    """CloudEvents 1.0, structured mode. A property becomes an extension attribute where its name is allowed as one."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": identity,
        "source": source,
        "type": properties.get("type") or EVENT_TYPE,
    }
    if key:
        event["subject"] = key
    when = moment(time)
    if when:
        event["time"] = when
    value = _embedded(payload)
    event["datacontenttype"] = "application/octet-stream" if value is None else "application/json"
    event.update((name, text) for name, text in properties.items() if name not in _OURS and _ATTRIBUTE.fullmatch(name))
    if value is None:
        event["data_base64"] = base64.b64encode(payload).decode()
    else:
        event["data"] = value
    return orjson.dumps(event)
