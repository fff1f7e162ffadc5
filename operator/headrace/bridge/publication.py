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
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

MESSAGE_ID_SECONDS = 86_400
"""How long a message id is remembered by default: one day."""

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
) -> Publication:
    """Publish *payload* on *channel* now, and queue it in *outbox* for Pulsar: both or neither.

    *payload*: bytes as they are, anything else as JSON; subscribers and consumers get the same bytes.
    *key*, *properties*, *event_time* (with a time zone): of the Pulsar message.
    *message_id*: a call with an id that was seen in the last *message_id_seconds* does nothing, so a call whose answer
    was lost may be repeated. Without one, only the client library's own retries are told apart.

    Raises TypeError or ValueError for what cannot be published, and the client's errors: then nothing was done, unless
    the connection broke and the answer is lost.
    """
    keys, arguments = _record(payload, channel, outbox, key, properties, event_time, message_id, message_id_seconds)
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
) -> Publication:
    """:func:`hybrid_publish` with a client for asyncio."""
    keys, arguments = _record(payload, channel, outbox, key, properties, event_time, message_id, message_id_seconds)
    return _publication(await client.register_script(_script())(keys=keys, args=arguments))


def _record(
    payload: Any,
    channel: str,
    outbox: str,
    key: str | None,
    properties: Mapping[str, str] | None,
    event_time: datetime | None,
    message_id: str | None,
    message_id_seconds: int,
) -> tuple[list[str], list[str | bytes | int]]:
    """Keys and arguments of the script. What the bridge would refuse is refused here, where the caller sees it."""
    if not channel or not outbox or message_id == "":
        raise ValueError("channel, outbox and message_id must not be empty")
    if message_id_seconds < 1:
        raise ValueError(f"message_id_seconds is at least 1, not {message_id_seconds}")
    if not isinstance(key, str | None):
        raise TypeError(f"key is a string, not {type(key).__name__}")
    carried = dict(properties or {})
    if not all(isinstance(text, str) for pair in carried.items() for text in pair):
        raise TypeError("names and values of properties are strings")
    if event_time is not None and event_time.utcoffset() is None:
        raise ValueError("event_time needs a time zone, such as datetime.now(UTC)")
    data = payload if isinstance(payload, bytes) else _json(payload)
    record = {
        "type": "Result",
        # never as a JSON value: what parses a number and writes it again may change its bytes
        "payloadBase64": base64.b64encode(data).decode(),
        "key": key,
        "properties": carried,
        "eventTimeMillis": round(event_time.astimezone(UTC).timestamp() * 1000) if event_time else None,
    }
    seconds = message_id_seconds if message_id else RETRY_SECONDS
    mark = f"{outbox}:published:{message_id or uuid.uuid4().hex}"
    return [outbox, mark], [_json(record), channel, data, seconds]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _publication(answer: list[int]) -> Publication:
    queued, receivers = answer
    return Publication(bool(queued), int(receivers))


@cache
def _script() -> str:
    return Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
