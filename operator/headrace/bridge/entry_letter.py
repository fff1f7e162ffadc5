"""Letters of entries that no message could be made of: a replay tries it again, as the resource says now. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

from headrace.api.bridge_sink import Envelope
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.entry import from_readable, published
from headrace.bridge.letter import Letter, UnreplayableError
from headrace.bridge.message import Message
from headrace.bridge.record import CHANNEL, converter, sealer
from headrace.bridge.routing import EntryFormat, Routing, Target, entry_format
from headrace.process.letter_properties import ERROR, FORM, REASON, SOURCE

WITHOUT_LIMIT = 2**40
"""The broker says what is too large for it."""

TOO_LARGE = "MessageTooLarge"
"""The reason of a letter that holds a message although it was made of an entry."""


def form_of(letter: Letter, bridge: PulsarBridge) -> EntryFormat | None:
    """What kind of entry *letter* holds; None when it holds a message. Raises :class:`UnreplayableError`."""
    properties = letter.properties
    if form := properties.get(FORM):
        if form not in list(EntryFormat):
            raise UnreplayableError(f"its payload is of a form that no replay takes: {form[:100]}.")
        return EntryFormat(form)
    if REASON not in properties or properties[REASON] == TOO_LARGE or "REAL_TOPIC" in properties:
        return None
    # letters of an older version do not say it
    source = bridge.spec.source.valkey
    if source is None or properties.get(SOURCE) != bridge.identity:
        return None
    if source.is_outbox and properties[REASON] not in ("InvalidRecord", "MetadataTooLarge"):
        return None  # the record was a letter
    return entry_format(source)


class Entries:
    """Makes messages of the entries in letters, as the bridge would today."""

    def __init__(self, bridge: PulsarBridge, limit_bytes: int) -> None:
        sink, source = bridge.spec.sink.pulsar, bridge.spec.source.valkey
        target = Target(sink.topic if sink else bridge.spec.dead_letter_topic, 0)
        self._routing = Routing(
            sink=target,
            dead_letter=target,
            format=EntryFormat.RAW,
            key=sink.key if sink else None,
            source=bridge.identity,
            limit_bytes=limit_bytes,
            payload_field=source.stream.payload_field if source and source.stream else None,
            properties=dict(sink.properties) if sink else {},
            event_time=sink.event_time if sink else None,
            chunking=sink.chunking if sink else True,
            envelope=sink.envelope if sink else Envelope.RAW,
        )
        self._converters: dict[EntryFormat, Callable[[bytes], Message]] = {}

    def message(self, letter: Letter, form: EntryFormat) -> Message:
        """The message of the entry in *letter*, a letter again where the entry is an outbox record of one.

        Raises :class:`UnreplayableError` when there is still none.
        """
        made = self._converter(form)(_entry(letter, form))
        properties = made.properties or {}
        if form is EntryFormat.OUTBOX and FORM not in properties and "REAL_TOPIC" in properties:
            return made
        if made.reason is not None:
            raise UnreplayableError(f"no message can be made of it yet: {properties.get(ERROR, '')}")
        return made

    def sealed(self, message: Message, letter: Letter, form: EntryFormat) -> Message:
        """*message* in the envelope of the sink. Raises :class:`UnreplayableError` when it is too large for that."""
        seal = sealer(replace(self._routing, format=form), letter.publish_time)
        found = message if seal is None else seal(message, zlib.crc32(letter.message_id.encode()))
        if found.reason is not None:
            raise UnreplayableError((found.properties or {}).get(ERROR, ""))
        return found

    def _converter(self, form: EntryFormat) -> Callable[[bytes], Message]:
        if form not in self._converters:
            routing = self._routing
            if form is EntryFormat.OUTBOX:
                routing = replace(routing, key=None, properties={}, event_time=None, limit_bytes=WITHOUT_LIMIT)
            self._converters[form] = converter(replace(routing, format=form))
        return self._converters[form]


def _entry(letter: Letter, form: EntryFormat) -> bytes:
    if form is EntryFormat.FIELDS:
        try:
            return from_readable(letter.payload)
        except (ValueError, TypeError, KeyError):
            raise UnreplayableError("its payload is no entry of a stream.") from None
    if form is EntryFormat.PUBLISHED:
        return published(letter.properties.get(CHANNEL, "").encode(), letter.payload)
    return letter.payload
