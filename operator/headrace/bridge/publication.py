"""Publish to a Valkey channel and to a Pulsar topic by one call. Needs a Valkey client, and no Pulsar library.

The call writes to Valkey only: one script publishes on the channel and queues a record in an outbox, both or neither.
A PulsarBridge whose source is that list (``format: Outbox``) moves the record to its topic, through any crash.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from headrace.bridge.limits import (
    CHARACTER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_CHARACTERS,
    MESSAGE_OVERHEAD_BYTES,
)
from headrace.process.lua import script_text

MESSAGE_ID_SECONDS = 86_400
"""How long a message id is remembered by default: one day."""

RESERVED = ("HEADRACE_", "VALKEY_")
"""What names of Headrace's own properties begin with."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

RETRY_SECONDS = 60
"""How long an id is remembered that the caller did not give: it serves the client library's own retries."""


class Client(Protocol):
    """A client of valkey-py or redis-py, for one thread or for asyncio. Not a pipeline."""

    def register_script(self, script: Any, /) -> Any:
        """Bind a script to the client."""


@dataclass(frozen=True)
class Publication:
    """What a call came to."""

    queued: bool
    """Whether the message was taken; False when its message id was seen before: then nothing was done again."""
    receivers: int
    """Subscribers of the channel that got it now, on the server that was asked."""


def hybrid_publish(
    client: Client,
    payload: Any,
    *,
    channel: str,
    outbox: str,
    key: str | None = None,
    properties: Mapping[str, str] | None = None,
    event_time: datetime | None = None,
    message_id: str | None = None,
    message_id_seconds: int = MESSAGE_ID_SECONDS,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> Publication:
    """Publish *payload* on *channel* now, and queue it in *outbox* for Pulsar: both or neither.

    *payload*: bytes as they are, anything else as JSON; subscribers and consumers get the same bytes.
    *key*, *properties*, *event_time* (with a time zone): of the Pulsar message.
    *max_message_bytes*: what the broker takes, its own metadata included; more where the bridge has ``chunking: true``.
    *message_id*: a call with an id that was seen in the last *message_id_seconds* does nothing, so a call whose answer
    was lost may be repeated. Without one, only the client library's own retries are told apart.

    Raises TypeError or ValueError for what would not become a message, and the client's errors: then nothing was done,
    unless the connection broke and the answer is lost.
    """
    keys, arguments = _call(
        payload, channel, outbox, key, properties, event_time, message_id, message_id_seconds, max_message_bytes
    )
    return _publication(client.register_script(_script())(keys=keys, args=arguments))


async def hybrid_publish_async(
    client: Client,
    payload: Any,
    *,
    channel: str,
    outbox: str,
    key: str | None = None,
    properties: Mapping[str, str] | None = None,
    event_time: datetime | None = None,
    message_id: str | None = None,
    message_id_seconds: int = MESSAGE_ID_SECONDS,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> Publication:
    """:func:`hybrid_publish` with a client for asyncio."""
    keys, arguments = _call(
        payload, channel, outbox, key, properties, event_time, message_id, message_id_seconds, max_message_bytes
    )
    return _publication(await client.register_script(_script())(keys=keys, args=arguments))


def _call(
    payload: Any,
    channel: str,
    outbox: str,
    key: str | None,
    properties: Mapping[str, str] | None,
    event_time: datetime | None,
    message_id: str | None,
    message_id_seconds: int,
    max_message_bytes: int,
) -> tuple[list[str], list[str | bytes | int]]:
    """Keys and arguments of the script. What the bridge would refuse is refused here, where the caller sees it."""
    for name, text in (("channel", channel), ("outbox", outbox), ("message_id", message_id), ("key", key)):
        _check_text(name, text, optional=name in ("message_id", "key"))
    if message_id_seconds < 1:
        raise ValueError(f"message_id_seconds is at least 1, not {message_id_seconds}")
    carried = _checked(properties or {})
    data = payload if isinstance(payload, bytes) else _json(payload)
    _check_size(data, key or "", carried, max_message_bytes)
    record = {
        "type": "Result",
        # never as a JSON value: what parses a number and writes it again may change its bytes
        "payloadBase64": base64.b64encode(data).decode(),
        "key": key,
        "properties": carried,
        "eventTimeMillis": None if event_time is None else _milliseconds(event_time),
    }
    seconds = message_id_seconds if message_id else RETRY_SECONDS
    mark = f"{outbox}:published:{message_id or uuid.uuid4().hex}"
    return [outbox, mark], [_json(record), channel, data, seconds]


def _check_text(name: str, text: str | None, *, optional: bool) -> None:
    if text is None and optional:
        return
    if not isinstance(text, str):
        raise TypeError(f"{name} is a string, not {type(text).__name__}")
    if not text:
        raise ValueError(f"{name} must not be empty{'; leave it out' if optional else ''}")
    _check_utf8(name, text)


def _check_utf8(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which UTF-8 cannot hold: {text!r:.100}") from None


def _checked(properties: Mapping[str, str]) -> dict[str, str]:
    carried = dict(properties)
    for name, value in carried.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("names and values of properties are strings")
        if name.startswith(RESERVED):
            raise ValueError(
                f"properties that begin with {' or '.join(RESERVED)} are Headrace's own; rename {name:.100}"
            )
        _check_utf8("the name of a property", name)
        _check_utf8(f"the property {name:.100}", value)
    return carried


def _check_size(data: bytes, key: str, properties: Mapping[str, str], most: int) -> None:
    """By the bridge's own rule, see ``record.py``."""
    characters = len(key) + sum(len(name) + len(value) for name, value in properties.items())
    if characters > MAX_METADATA_CHARACTERS:
        raise ValueError(f"key and properties have {characters} characters, more than {MAX_METADATA_CHARACTERS}")
    size, room = len(data) + CHARACTER_BYTES * characters, most - MESSAGE_OVERHEAD_BYTES
    if size > room:
        raise ValueError(
            f"payload, key and properties have up to {size} bytes, and the broker takes {room};"
            " give max_message_bytes where the bridge has chunking: true, or the broker another maxMessageSize"
        )


def _milliseconds(event_time: datetime) -> int:
    if not isinstance(event_time, datetime):
        raise TypeError(f"event_time is a datetime, not {type(event_time).__name__}")
    if event_time.utcoffset() is None:
        raise ValueError("event_time needs a time zone, such as datetime.now(UTC)")
    found = (event_time - _EPOCH) // _MILLISECOND
    if found < 1:
        raise ValueError(f"event_time must be after 1970-01-01T00:00:00Z, and not {event_time.isoformat()}")
    return found


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("the payload is nested too deeply for JSON") from None
    except UnicodeEncodeError:
        raise ValueError("the payload holds half a surrogate pair, which UTF-8 cannot hold; give it as bytes") from None


def _publication(answer: list[int]) -> Publication:
    queued, receivers = answer
    return Publication(bool(queued), int(receivers))


@cache
def _script() -> str:
    return script_text("preflight", "publication", folders=(Path(__file__).parent,))
