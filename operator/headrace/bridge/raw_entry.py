"""An entry of a topic as the broker has it, whether or not the client library can make messages of it. Pure."""

from __future__ import annotations

import base64
from copy import copy
from dataclasses import dataclass
from functools import cached_property

from headrace.bridge.cursor import Place
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
        """As of a message; empty for one of bytes."""
        return "" if self._number(17) else self._text(6)

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

    def _text(self, number: int) -> str:
        try:
            return content(self._fields, number).decode(errors="replace")
        except WireError:
            return ""
