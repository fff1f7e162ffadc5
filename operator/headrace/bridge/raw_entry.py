"""An entry of a topic as the broker has it, whether or not the client library can make messages of it. Pure."""

from __future__ import annotations

import base64
import struct
from copy import copy
from dataclasses import dataclass
from functools import cached_property

from headrace.bridge.cursor import Place
from headrace.bridge.decompression import uncompressed
from headrace.bridge.header import Header
from headrace.bridge.pulsar_library import core
from headrace.bridge.wire import Fields, WireError, content, fields, integer, opened, text


@dataclass(frozen=True)
class Chunk:
    """A piece of a message."""

    uuid: str
    number: int
    """From 0."""
    of: int


class EntryId(core.MessageId):  # type: ignore[misc]
    """Where an entry lies: a message id for what the client never gave out, and which it does not acknowledge."""

    def __init__(self, place: Place, partition: int = -1) -> None:
        """*partition*: its number; -1 in a topic without any."""
        super().__init__(partition, *place, -1)


class RawEntry:
    """One entry, with the methods of a received message, whose payload are its bytes as they lie there."""

    def __init__(self, topic: str, identity: EntryId, entry: bytes) -> None:
        """*topic*: the partition's. *entry*: what the broker sent."""
        self._topic = topic
        self.identity = identity
        try:
            self._metadata, self._payload = opened(entry)
        except WireError:
            self._metadata, self._payload = b"", entry
        self.size = len(entry)

    @cached_property
    def _fields(self) -> Fields:
        try:
            return fields(self._metadata)
        except WireError:
            return {}

    def holding(self, payload: bytes) -> RawEntry:
        """The same with another payload."""
        other = copy(self)
        other._payload = payload
        return other

    @property
    def place(self) -> Place:
        """Ledger and entry."""
        return self.identity.ledger_id(), self.identity.entry_id()

    @property
    def metadata(self) -> str:
        """All that its producer says of it (Pulsar's `MessageMetadata`), in Base64."""
        return base64.b64encode(self._metadata).decode()

    @property
    def encrypted(self) -> bool:
        """Whether its payload is."""
        return 13 in self._fields

    @property
    def compressed(self) -> bool:
        """Whether its payload is."""
        return self._number(8) != 0

    @property
    def messages(self) -> int:
        """How many messages it holds, as its producer says."""
        return max(self._number(11, 1), 1)

    @property
    def chunk(self) -> Chunk | None:
        """Which piece of a message it is, if it is one."""
        if self._number(27) < 2 or 11 in self._fields:
            return None
        return Chunk(self._text(26), self._number(29), self._number(27))

    @property
    def header(self) -> Header:
        """What it says as a whole: of a batch that is its first message's. Nobody reads its bytes by a schema."""
        return Header(bool(self._number(17)), self._content(18), bool(self._number(25)))

    def header_of(self, index: int) -> Header:
        """That of one message, without its schema. *index*: its place in the batch; -1 for one that is in none.

        Raises ``WireError`` and ``UnreadableError``.
        """
        if index < 0:
            return self.header
        single = self.singles[index]
        return Header(bool(integer(single, 6)), content(single, 7), bool(integer(single, 9)))

    def metadata_of(self, index: int) -> str:
        """Like :attr:`metadata`; of one message in a batch its `SingleMessageMetadata`."""
        return self.metadata if index < 0 else base64.b64encode(self._singles[index]).decode()

    @cached_property
    def singles(self) -> list[Fields]:
        """The metadata of each message of a batch. Raises ``WireError`` and ``UnreadableError``."""
        return [fields(each) for each in self._singles]

    @cached_property
    def _singles(self) -> list[bytes]:
        data = uncompressed(self._payload, self._number(8), self._number(9) or len(self._payload))
        found: list[bytes] = []
        at = 0
        while len(found) < self.messages:
            if at + 4 > len(data):
                raise WireError("a batch is cut off")
            [size] = struct.unpack_from(">I", data, at)
            found.append(data[at + 4 : at + 4 + size])
            at += 4 + size + integer(fields(found[-1]), 3)
        return found

    def message_id(self) -> EntryId:
        """As of a message."""
        return self.identity

    def topic_name(self) -> str:
        """As of a message."""
        return self._topic

    def data(self) -> bytes:
        """As of a message."""
        return self._payload

    def partition_key(self) -> str:
        """As of a message."""
        return self._text(6)

    def ordering_key(self) -> str:
        """As of a message."""
        return self._text(18)

    def has_null_value(self) -> bool:
        """As of a message."""
        return bool(self._number(25))

    def int_schema_version(self) -> int:
        """As of a message; -1 without one."""
        version = self._content(16)
        return int.from_bytes(version, "big", signed=True) if len(version) == 8 else -1

    def properties(self) -> dict[str, str]:
        """As of a message; those of messages in a batch lie in the payload."""
        found = {}
        for pair in self._fields.get(4, ()):
            try:
                parts = fields(pair) if isinstance(pair, bytes) else {}
                found[text(parts, 1)] = text(parts, 2)
            except WireError:
                continue
        return found

    def event_timestamp(self) -> int:
        """As of a message."""
        return self._number(12)

    def publish_timestamp(self) -> int:
        """As of a message."""
        return self._number(3)

    def producer_name(self) -> str:
        """As of a message."""
        return self._text(1)

    def _number(self, number: int, default: int = 0) -> int:
        try:
            return integer(self._fields, number, default)
        except WireError:
            return default

    def _content(self, number: int) -> bytes:
        try:
            return content(self._fields, number)
        except WireError:
            return b""

    def _text(self, number: int) -> str:
        return self._content(number).decode(errors="replace")
