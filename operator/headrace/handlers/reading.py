"""From what lay in Valkey to what a handler gets. Pure."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from headrace.api.worker_modes import Format, Stream
from headrace.bridge.entry import channel_and_payload
from headrace.handlers.reservations import Delivery
from headrace.tasks import Message

Read = Callable[[Delivery], Message]
"""Raises :class:`UnreadableError`."""


class UnreadableError(Exception):
    """No message can be made of it. The text is a sentence for people."""


def whole(delivery: Delivery) -> bytes:
    """All that was taken, as bytes for a dead letter."""
    if isinstance(delivery.payload, bytes):
        return delivery.payload
    parts = [part.decode(errors="backslashreplace") for part in delivery.payload]
    return orjson.dumps({"id": delivery.id, "fields": list(zip(parts[::2], parts[1::2], strict=True))})


def polled(format: Format, header: str | None) -> Read:  # noqa: A002 - as in the resource
    """Reads entries of a list, a sorted set or a hash; *header* holds the score or the field."""

    def read(delivery: Delivery) -> Message:
        assert isinstance(delivery.payload, bytes)
        headers = {header: _text(delivery.extra, header)} if header else {}
        return _message(delivery, _text(delivery.key, "the key"), _decoded(delivery.payload, format), headers)

    return read


def published(format: Format) -> Read:  # noqa: A002
    """Reads what channels published."""

    def read(delivery: Delivery) -> Message:
        assert isinstance(delivery.payload, bytes)
        try:
            channel, payload = channel_and_payload(delivery.payload)
        except ValueError:
            raise UnreadableError("it is not written as what channels publish is.") from None
        return _message(delivery, _text(channel, "the channel"), _decoded(payload, format), {})

    return read


def entries(stream: Stream) -> Read:
    """Reads entries of a stream."""

    def read(delivery: Delivery) -> Message:
        parts = delivery.payload
        assert isinstance(parts, list)
        fields = {_text(name, "a field"): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
        if stream.payload_field is None:
            payload = {name: _text(value, name) for name, value in fields.items()}
            return _message(delivery, stream.key, payload, {})
        if stream.payload_field not in fields:
            raise UnreadableError(f"the entry has no field {stream.payload_field}.")
        body = _decoded(fields.pop(stream.payload_field), stream.format)
        return _message(delivery, stream.key, body, {name: _text(value, name) for name, value in fields.items()})

    return read


def _message(delivery: Delivery, key: str, payload: object, headers: dict[str, str]) -> Message:
    return Message(payload, delivery.id, key, delivery.attempt, headers)


def _decoded(payload: bytes, format: Format) -> object:  # noqa: A002
    if format is Format.RAW:
        return payload
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"the payload is not JSON: {error}.") from None


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableError(f"{what} is not UTF-8.") from None
