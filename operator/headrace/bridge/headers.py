"""Reads the headers of received messages, whatever of them the client library keeps to itself.

The library (3.13) tells of a message's ordering key, null value and schema, and not whether its key is a text or the
Base64 of bytes. Where the key may be both, and where the library cannot give something out, the entry is read as the
broker has it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from dataclasses import replace

from headrace.api.topic import base_topic
from headrace.bridge.batch import position
from headrace.bridge.cursor import Place
from headrace.bridge.decompression import UnreadableError
from headrace.bridge.header import Header, Schema, SchemaAt, may_be_bytes
from headrace.bridge.pulsar_library import Message, properties_of
from headrace.bridge.raw_entry import RawEntry
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics, Reading
from headrace.bridge.retried import Retried
from headrace.bridge.wire import WireError
from headrace.process.letter_properties import REASON, SCHEMA

FAR_ENTRIES = 200
"""A reading that stands further away is opened anew, which takes some milliseconds."""


class HeaderUnknownError(Exception):
    """The broker does not say it now; the text is for people."""


class Headers:
    """Of messages that lie in their topics still. Not shared between threads."""

    def __init__(self, raw: RawTopics | None) -> None:
        """*raw*: None where entries cannot be read; then what cannot be known is unknown."""
        self._raw = raw
        self._readings: dict[str, Reading] = {}
        self._entry: tuple[str, RawEntry] | None = None

    def of(self, message: Message) -> Header:
        """The header of *message*. Raises :class:`HeaderUnknownError`."""
        if isinstance(message, RawEntry):
            return message.header
        schema = _schema_of(message)
        told = Header(null_value=message.has_null_value(), schema=schema)
        try:
            told = replace(told, ordering_key=message.ordering_key().encode())
            if not may_be_bytes(message.partition_key()):
                return told
        except UnicodeDecodeError:
            pass
        found = self._read(message)
        return replace(told, key_is_bytes=None) if found is None else replace(found, schema=schema)

    def metadata_of(self, message: Message) -> str:
        """All that its producer says of *message*, in Base64; empty where it cannot be read. Raises
        :class:`HeaderUnknownError`."""
        if isinstance(message, RawEntry):
            return message.metadata
        try:
            entry = self._entry_of(message)
            return entry.metadata_of(message.message_id().batch_index()) if entry else ""
        except (UnreadableError, WireError, IndexError):
            return ""

    def rest(self) -> None:
        """Hang up until the next message."""
        for reading in self._readings.values():
            reading.close()
        self._readings.clear()
        self._entry = None

    def _read(self, message: Message) -> Header | None:
        try:
            entry = self._entry_of(message)
            return None if entry is None else entry.header_of(message.message_id().batch_index())
        except (UnreadableError, WireError, IndexError):
            return None

    def _entry_of(self, message: Message) -> RawEntry | None:
        if self._raw is None:
            return None
        partition, place = message.topic_name(), position(message.message_id())[:2]
        if self._entry is not None and (self._entry[0], self._entry[1].place) == (partition, place):
            return self._entry[1]
        try:
            entry = self._found(self._raw, partition, place)
        except RAW_TROUBLE as error:
            self.rest()
            ledger, number = place
            raise HeaderUnknownError(f"{partition}: the entry {ledger}:{number} could not be read: {error}") from None
        self._entry = partition, entry
        return entry

    def _found(self, raw: RawTopics, partition: str, place: Place) -> RawEntry:
        reading = self._readings.get(partition)
        if reading is not None and (reading.passed(place) or not _is_near(reading.at, place)):
            self._readings.pop(partition).close()
            reading = None
        if reading is None:
            reading = self._readings[partition] = raw.reading(partition, place)
        for entry in reading.until(place):
            if entry.place == place:
                return entry
        raise WireError("the broker does not give it")


def _schema_of(message: Message) -> Schema | None:
    """Where it is found; of a letter whose topic did not take it itself."""
    version = message.int_schema_version()
    if version >= 0:
        return SchemaAt(base_topic(message.topic_name()), version)
    found = properties_of(message.letter if isinstance(message, Retried) else message)
    if REASON not in found:
        return None
    with contextlib.suppress(binascii.Error, ValueError):
        return base64.b64decode(found.get(SCHEMA, ""), validate=True) or None
    return None


def _is_near(at: Place, place: Place) -> bool:
    return at[0] == place[0] and place[1] - at[1] < FAR_ENTRIES
