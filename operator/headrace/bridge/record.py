"""What an entry of the source becomes: a message for the sink, or a dead letter with its reason. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from headrace.api.bridge_sink import Envelope
from headrace.bridge.entry import channel_and_payload, decoded, readable
from headrace.bridge.message import Message, PoisonError, as_entry, as_too_large, dead_letter, fitted
from headrace.bridge.message_envelope import CLOUD_EVENT, CONTENT_TYPE, seal
from headrace.bridge.routing import MESSAGE_OVERHEAD_BYTES, EntryFormat, Routing
from headrace.bridge.shape import shaper
from headrace.process.letter_properties import FORM, kept
from headrace.process.trace import TRACE

STREAM_ID = "VALKEY_STREAM_ID"
"""Property with the id of the stream's entry."""

CHANNEL = "VALKEY_CHANNEL"
"""Property with the channel that published the message."""

MAX_METADATA_CHARACTERS = 65_536
"""Most characters of key and properties. Pulsar splits payloads into chunks, but never these."""

TRACE_CHARACTERS = 512
"""Longest trace context in a dead letter; W3C asks for no more."""


def converter(routing: Routing) -> Callable[[bytes], Message]:
    """The function that makes a message of an entry, in the way *routing* says. It never raises."""
    make = _maker(routing)
    shape = shaper(routing)
    limit = routing.limit_bytes - MESSAGE_OVERHEAD_BYTES
    # of an entry below this nothing can be too large, unless selected properties repeat it
    small = 0 if routing.properties else min(limit // 2, MAX_METADATA_CHARACTERS)

    def convert(entry: bytes) -> Message:
        message = None
        try:
            message = make(entry)
            if shape is not None:
                shape(message)
            if len(entry) < small:
                return message
            is_letter = message.reason is not None or message.deliver_at is not None
            if not is_letter and _metadata(message) > MAX_METADATA_CHARACTERS:
                raise PoisonError(
                    "MetadataTooLarge", f"key and properties have more than {MAX_METADATA_CHARACTERS} characters."
                )
        except PoisonError as poison:
            letter = _letter(entry, message, poison, routing)
            return fitted(letter, routing.limit_bytes) or as_entry(entry, routing.format, letter)
        if is_letter:
            return fitted(message, routing.limit_bytes) or as_entry(entry, routing.format, message)
        if _size(message) <= limit:
            return message
        if routing.chunking:
            message.large = True
            return message
        return as_too_large(message, routing.source, f"than the {routing.limit_bytes} that the broker takes.")

    return convert


def _letter(entry: bytes, message: Message | None, poison: PoisonError, routing: Routing) -> Message:
    """The dead letter of an entry; *message*: what was made of it before it was found bad."""
    if routing.format is EntryFormat.OUTBOX and message is not None:
        return dead_letter(
            message.payload,
            poison.reason,
            str(poison),
            source=routing.source,
            key=message.key,
            properties=kept(message.properties or {}),
            event_time=message.event_time,
        )
    properties = _trace(message) | {FORM: routing.format.value}
    payload = _kept(entry, routing.format)
    return dead_letter(payload, poison.reason, str(poison), source=routing.source, properties=properties)


def plain(routing: Routing, entries: Sequence[bytes]) -> bool:
    """Whether each of *entries* is a message as it stands, and none is too large."""
    bare = routing.format is EntryFormat.RAW and routing.envelope is Envelope.RAW and shaper(routing) is None
    return bare and max(map(len, entries)) <= routing.limit_bytes - MESSAGE_OVERHEAD_BYTES


def _maker(routing: Routing) -> Callable[[bytes], Message]:
    if routing.format is EntryFormat.OUTBOX:
        return _of_outbox(routing.source)
    if routing.format is EntryFormat.FIELDS:
        return _of_fields(routing.payload_field)
    return _of_channel if routing.format is EntryFormat.PUBLISHED else Message


def sealer(routing: Routing, made: int) -> Callable[[Message, int], Message] | None:
    """The function that puts a message for the sink, with its sequence id, into the envelope that *routing* says.

    None when there is none. *made*: when the cut was, in milliseconds since the epoch; the clock is never asked, so
    that a replay makes the same message.
    """
    into = seal(routing.envelope)
    if into is None:
        return None
    limit = routing.limit_bytes - MESSAGE_OVERHEAD_BYTES
    suffix = "" if routing.shard is None else f"-{routing.shard}"  # each shard counts for itself

    def sealed(message: Message, sequence_id: int) -> Message:
        if message.reason is not None:
            return message
        properties = message.properties or {}
        identity = properties.get(STREAM_ID)
        others = {name: value for name, value in properties.items() if name != STREAM_ID}
        time = message.event_time or (int(identity.partition("-")[0]) if identity else made)
        identity = (identity or f"{made}-{sequence_id}") + suffix
        payload = into(identity, routing.source, time, message.key, others, message.payload)
        if routing.envelope is Envelope.CLOUD_EVENTS:
            properties = {**properties, CONTENT_TYPE: CLOUD_EVENT}
        whole = Message(payload, message.key, properties, message.event_time)
        whole.large = _size(whole) > limit
        if routing.chunking or not whole.large:
            return whole
        return as_too_large(
            message, routing.source, f"in its envelope than the {routing.limit_bytes} that the broker takes."
        )

    return sealed


def _trace(message: Message | None) -> dict[str, str]:
    """What a dead letter keeps of the properties of a message that was found bad: its trace, and its channel."""
    properties = (message.properties if message is not None else None) or {}
    kept = (*TRACE, CHANNEL)
    return {name: text for name in kept if (text := properties.get(name)) and len(text) <= TRACE_CHARACTERS}


def _metadata(message: Message) -> int:
    """Characters of key and properties."""
    texts = sum(len(name) + len(value) for name, value in (message.properties or {}).items())
    return len(message.key or "") + texts


def _size(message: Message) -> int:
    """Most bytes that the message has."""
    return len(message.payload) + 4 * _metadata(message)


def _kept(entry: bytes, format_: EntryFormat) -> bytes:
    """Payload of the dead letter of an entry."""
    if format_ is EntryFormat.FIELDS:
        return readable(entry)
    return channel_and_payload(entry)[1] if format_ is EntryFormat.PUBLISHED else entry


def _of_channel(entry: bytes) -> Message:
    channel, payload = channel_and_payload(entry)
    return Message(payload, None, {CHANNEL: channel.decode(errors="backslashreplace")})


def _of_fields(payload_field: str | None) -> Callable[[bytes], Message]:
    name_of_payload = payload_field.encode() if payload_field else b""

    def make(entry: bytes) -> Message:
        identity, fields = decoded(entry)
        payload = fields.pop(name_of_payload, None) if payload_field else None
        if payload_field and payload is None:
            raise PoisonError("FieldMissing", f"the entry has no field {payload_field}.")
        try:
            texts = {name.decode(): value.decode() for name, value in fields.items()} if fields else {}
        except UnicodeDecodeError:
            raise PoisonError(
                "InvalidRecord", "a field of the entry is not UTF-8: name the binary one as payloadField."
            ) from None
        if payload is None:
            trace = {name: texts[name] for name in (*TRACE, CHANNEL) if name in texts}
            return Message(orjson.dumps(texts), None, {STREAM_ID: identity, **trace})
        return Message(payload, None, {STREAM_ID: identity, **texts})

    return make


def _of_outbox(source: str) -> Callable[[bytes], Message]:
    def make(entry: bytes) -> Message:
        try:
            record = orjson.loads(entry)
        except orjson.JSONDecodeError as error:
            raise PoisonError("InvalidRecord", f"the outbox record is not JSON: {error}.") from None
        if not isinstance(record, dict):
            raise PoisonError("InvalidRecord", "the outbox record is not a JSON object.")
        payload = _payload(record)
        kind = record.get("type")
        key, event_time = record.get("key"), record.get("eventTimeMillis")
        properties = record.get("properties") or {}
        if not isinstance(key, str | None) or not isinstance(event_time, int | None):
            raise PoisonError("InvalidRecord", "in an outbox record key is a string and eventTimeMillis a number.")
        if event_time is not None and not 0 <= event_time < 2**63:
            raise PoisonError("InvalidRecord", "eventTimeMillis of an outbox record lies out of range.")
        if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
            raise PoisonError("InvalidRecord", "in an outbox record properties is an object of strings.")
        if kind == "Result":
            return Message(payload, key or None, properties, event_time)
        if kind == "RetryLetter":
            return Message(payload, key or None, properties, event_time, deliver_at=_due(record))
        if kind == "DeadLetter":
            attempts = record.get("attempts")
            return dead_letter(
                payload,
                str(record.get("reason") or "TaskFailed"),
                str(record.get("error") or ""),
                source=source,
                attempts=attempts if isinstance(attempts, int) else 1,
                key=key or None,
                properties=properties,
                event_time=event_time,
            )
        raise PoisonError("InvalidRecord", "the type of an outbox record is Result, RetryLetter or DeadLetter.")

    return make


def _due(record: dict[str, Any]) -> int:
    due = record.get("deliverAtMillis")
    if not isinstance(due, int) or not 0 < due < 2**63:
        raise PoisonError("InvalidRecord", "a RetryLetter in an outbox has deliverAtMillis, a number.")
    return due


def _payload(record: dict[str, Any]) -> bytes:
    if ("payload" in record) == ("payloadBase64" in record):
        raise PoisonError("InvalidRecord", "an outbox record has one of payload and payloadBase64.")
    if "payload" in record:
        return orjson.dumps(record["payload"])
    try:
        return base64.b64decode(record["payloadBase64"], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise PoisonError("InvalidRecord", "payloadBase64 of an outbox record is not base64.") from None
