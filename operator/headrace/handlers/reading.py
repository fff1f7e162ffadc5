"""From what lay in Valkey to what a handler gets. Pure."""

from __future__ import annotations

from collections.abc import Callable

from headrace.api.worker_modes import Format, Stream
from headrace.bridge.entry import channel_and_payload, readable_entry, repeated
from headrace.handlers.reservations import Delivery
from headrace.process.exact_json import loads
from headrace.tasks import Message

Read = Callable[[Delivery], Message]
"""Raises :class:`UnreadableError`."""


class UnreadableError(Exception):
    """No message can be made of it. The text is a sentence for people."""


def whole(delivery: Delivery) -> bytes:
    """All that was taken, as bytes for a dead letter."""
    if isinstance(delivery.payload, bytes):
        return delivery.payload
    return readable_entry(delivery.id, _pairs(delivery.payload))


def _pairs(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(parts[::2], parts[1::2], strict=True))


def polled(format: Format, header: str | None) -> Read:  # noqa: A002 - as in the resource
    """Reads entries of a list, a sorted set or a hash; *header* holds the score or the field."""

    def read(delivery: Delivery) -> Message:
        assert isinstance(delivery.payload, bytes)
        headers = {header: _text(delivery.extra, header)} if header else {}
        return _message(delivery, _text(delivery.key, "the key"), delivery.payload, format, headers)

    return read


def published(format: Format) -> Read:  # noqa: A002
    """Reads what channels published."""

    def read(delivery: Delivery) -> Message:
        assert isinstance(delivery.payload, bytes)
        try:
            channel, payload = channel_and_payload(delivery.payload)
        except ValueError:
            raise UnreadableError("it is not written as what channels publish is.") from None
        return _message(delivery, _text(channel, "the channel"), payload, format, {})

    return read


def entries(stream: Stream) -> Read:
    """Reads entries of a stream."""

    def read(delivery: Delivery) -> Message:
        assert isinstance(delivery.payload, list)
        pairs = _pairs(delivery.payload)
        if (twice := repeated(pairs)) is not None:
            raise UnreadableError(f"the entry has the field {twice.decode(errors='backslashreplace')} more than once.")
        fields = {_text(name, "a field"): value for name, value in pairs}
        if stream.payload_field is None:
            payload = {name: _text(value, name) for name, value in fields.items()}
            return Message(payload, delivery.id, stream.key, delivery.attempt)
        if stream.payload_field not in fields:
            raise UnreadableError(f"the entry has no field {stream.payload_field}.")
        raw = fields.pop(stream.payload_field)
        headers = {name: _text(value, name) for name, value in fields.items()}
        return _message(delivery, stream.key, raw, stream.format, headers)

    return read


def _message(delivery: Delivery, key: str, raw: bytes, format: Format, headers: dict[str, str]) -> Message:  # noqa: A002
    return Message(_decoded(raw, format), delivery.id, key, delivery.attempt, headers, raw)


def _decoded(payload: bytes, format: Format) -> object:  # noqa: A002
    if format is Format.RAW:
        return payload
    try:
        return loads(payload)
    except ValueError as error:
        raise UnreadableError(f"the payload is not JSON: {error}.") from None


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableError(f"{what} is not UTF-8.") from None
