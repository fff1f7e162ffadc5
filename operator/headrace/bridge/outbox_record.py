"""What an outbox record becomes: a message, a retry letter or a dead letter. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from headrace.bridge.header import Header
from headrace.bridge.message import Message, PoisonError, dead_letter
from headrace.process.exact_json import dumps, read


class _Record(msgspec.Struct):
    """An outbox record. Everything is checked later, and told by what is wrong with it."""

    type: Any = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload_base64: Any = msgspec.field(default=msgspec.UNSET, name="payloadBase64")
    key: Any = None
    properties: Any = None
    event_time: Any = msgspec.field(default=None, name="eventTimeMillis")
    reason: Any = None
    error: Any = None
    attempts: Any = None
    due: Any = msgspec.field(default=None, name="deliverAtMillis")
    header: Any = None


_RECORD = msgspec.json.Decoder(_Record)


def _read(entry: bytes) -> _Record:
    """The record, whose payload is the very bytes that stand there."""
    try:
        return _RECORD.decode(entry)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _record_of(read, dumps, entry)  # it may hold what Python writes besides JSON


def _read_as_before(entry: bytes) -> _Record:
    """The same by the rules 0."""
    return _record_of(orjson.loads, orjson.dumps, entry)


def _record_of(load: Callable[[bytes], Any], dump: Callable[[Any], bytes], entry: bytes) -> _Record:
    try:
        value = load(entry)
    except ValueError as error:
        raise PoisonError("InvalidRecord", f"the outbox record is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise PoisonError("InvalidRecord", "the outbox record is not a JSON object.")
    given = {name: value[wire] for name, wire in _FIELDS.items() if wire in value}
    if "payload" in given:
        given["payload"] = msgspec.Raw(dump(given["payload"]))
    return _Record(**given)


_FIELDS = {field.name: field.encode_name for field in msgspec.structs.fields(_Record)}


def of_outbox(source: str, *, exact: bool) -> Callable[[bytes], Message]:
    """The function that makes the message of a record, and raises ``PoisonError``; *source*: of dead letters. *exact*:
    numbers stay as they are; False for cuts by the rules 0."""
    parse = _read if exact else _read_as_before

    def make(entry: bytes) -> Message:
        record = parse(entry)
        payload = _payload(record)
        key, event_time = record.key, record.event_time
        properties = record.properties or {}
        if not isinstance(key, str | None) or not isinstance(event_time, int | None):
            raise PoisonError("InvalidRecord", "in an outbox record key is a string and eventTimeMillis a number.")
        if event_time is not None and not 0 <= event_time < 2**63:
            raise PoisonError("InvalidRecord", "eventTimeMillis of an outbox record lies out of range.")
        if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
            raise PoisonError("InvalidRecord", "in an outbox record properties is an object of strings.")
        _check_text(key, properties)
        if record.type == "Result":
            return Message(payload, key or None, properties, event_time)
        header = _header(record.header)
        if record.type == "RetryLetter":
            return Message(payload, key or None, properties, event_time, deliver_at=_due(record.due), header=header)
        if record.type == "DeadLetter":
            return dead_letter(
                payload,
                str(record.reason or "TaskFailed"),
                str(record.error or ""),
                source=source,
                attempts=record.attempts if isinstance(record.attempts, int) else 1,
                key=key or None,
                properties=properties,
                event_time=event_time,
                header=header,
            )
        raise PoisonError("InvalidRecord", "the type of an outbox record is Result, RetryLetter or DeadLetter.")

    return make


def _check_text(key: str | None, properties: dict[str, str]) -> None:
    """Raise :class:`PoisonError` for half a surrogate pair, which Pulsar's UTF-8 cannot hold."""
    for text in (key or "", *properties, *properties.values()):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise PoisonError("InvalidRecord", "the key or a property holds half a surrogate pair.") from None


def _header(value: Any) -> Header:
    try:
        return Header.parse(value)
    except ValueError:
        raise PoisonError("InvalidRecord", "header of an outbox record is none that a bridge wrote.") from None


def _due(due: Any) -> int:
    if not isinstance(due, int) or not 0 < due < 2**63:
        raise PoisonError("InvalidRecord", "a RetryLetter in an outbox has deliverAtMillis, a number.")
    return due


def _payload(record: _Record) -> bytes:
    if (record.payload is msgspec.UNSET) == (record.payload_base64 is msgspec.UNSET):
        raise PoisonError("InvalidRecord", "an outbox record has one of payload and payloadBase64.")
    if record.payload is not msgspec.UNSET:
        return bytes(record.payload)
    try:
        return base64.b64decode(record.payload_base64, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise PoisonError("InvalidRecord", "payloadBase64 of an outbox record is not base64.") from None
