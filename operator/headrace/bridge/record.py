"""What an entry of the source becomes: a message for the sink, or a dead letter with its reason. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from headrace.api.bridge_sink import Envelope
from headrace.api.policy import PROPERTIES
from headrace.bridge.entry import channel_and_payload, decoded, readable, repeated
from headrace.bridge.limits import CHARACTER_BYTES, MAX_METADATA_CHARACTERS, MESSAGE_OVERHEAD_BYTES
from headrace.bridge.message import Message, PoisonError, as_entry, as_too_large, dead_letter, fitted
from headrace.bridge.message_envelope import CLOUD_EVENT, CONTENT_TYPE, seal
from headrace.bridge.outbox_record import of_outbox
from headrace.bridge.routing import EntryFormat, Routing
from headrace.bridge.shape import shaper
from headrace.process.letter_properties import FORM, KEPT, REASON, kept, letter_names
from headrace.process.trace import TRACE

STREAM_ID = "VALKEY_STREAM_ID"
"""Property with the id of the stream's entry."""

CHANNEL = "VALKEY_CHANNEL"
"""Property with the channel that published the message."""

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
        except Exception as error:  # P7: whatever one entry makes the rules raise, the others pass
            text = f"the bridge cannot read it: {type(error).__name__}: {error}"
            poison = error if isinstance(error, PoisonError) else PoisonError("InvalidRecord", text)
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
            header=message.header,
        )
    properties = _trace(message) | {FORM: routing.format.value} | _earlier_reasons(entry, routing)
    payload = _kept(entry, routing.format)
    return dead_letter(payload, poison.reason, str(poison), source=routing.source, properties=properties)


def _earlier_reasons(entry: bytes, routing: Routing) -> dict[str, str]:
    """Of what other bridges wrote a letter before, their reasons: a letter of a letter must be known as one."""
    if routing.format is not EntryFormat.FIELDS or REASON.encode() not in entry:
        return {}
    fields = {
        name.decode(errors="replace"): value for name, value in decoded(entry)[1] if name.endswith(REASON.encode())
    }
    return {KEPT + name: fields[name].decode(errors="replace")[:TRACE_CHARACTERS] for name in letter_names(fields)}


def plain(routing: Routing, entries: Sequence[bytes]) -> bool:
    """Whether each of *entries* is a message as it stands, and none is too large."""
    bare = routing.format is EntryFormat.RAW and routing.envelope is Envelope.RAW and shaper(routing) is None
    return bare and max(map(len, entries)) <= routing.limit_bytes - MESSAGE_OVERHEAD_BYTES


def _maker(routing: Routing) -> Callable[[bytes], Message]:
    exact = routing.rules > 0
    if routing.format is EntryFormat.OUTBOX:
        return of_outbox(routing.source, exact=exact)
    if routing.format is EntryFormat.FIELDS:
        return _of_fields(routing.payload_field, exact=exact)
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
        # of an outbox record such a property is another bridge's, and as good as any
        identity = properties.get(STREAM_ID) if routing.format is EntryFormat.FIELDS else None
        others = properties if identity is None else {n: text for n, text in properties.items() if n != STREAM_ID}
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
    return len(message.payload) + CHARACTER_BYTES * _metadata(message)


def _kept(entry: bytes, format_: EntryFormat) -> bytes:
    """Payload of the dead letter of an entry."""
    if format_ is EntryFormat.FIELDS:
        return readable(entry)
    return channel_and_payload(entry)[1] if format_ is EntryFormat.PUBLISHED else entry


def _of_channel(entry: bytes) -> Message:
    channel, payload = channel_and_payload(entry)
    return Message(payload, None, {CHANNEL: channel.decode(errors="backslashreplace")})


def _of_fields(payload_field: str | None, *, exact: bool) -> Callable[[bytes], Message]:
    name_of_payload = payload_field.encode() if payload_field else b""

    def make(entry: bytes) -> Message:
        identity, pairs = decoded(entry)
        fields = dict(pairs)
        if exact and len(fields) < len(pairs):
            name = (repeated(pairs) or b"").decode(errors="backslashreplace")
            raise PoisonError("InvalidRecord", f"the entry has the field {name} more than once, and a message cannot.")
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
        if exact and STREAM_ID in texts:
            _make_room(texts, STREAM_ID)
        return Message(payload, None, {STREAM_ID: identity, **texts})

    return make


def _make_room(texts: dict[str, str], name: str) -> None:
    """Give the value under *name*, of a bridge that the entry passed before, the name that a stream's fields get."""
    free = PROPERTIES + name
    while free in texts:
        free = PROPERTIES + free
    texts[free] = texts.pop(name)
