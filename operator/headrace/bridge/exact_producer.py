"""Publishes messages of which the client library cannot write everything: byte keys, and the schema of another topic.

Each run of messages has a connection of its own. Whoever publishes holds a producer of the library meanwhile, so two
processes are not here at once; what is cut off is found again by its mark.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from headrace.api.topic import base_topic
from headrace.bridge.message import CHUNK_BYTES, Message, metadata_bytes
from headrace.bridge.raw_topic import BrokerRefusalError, Link, RawTopics
from headrace.bridge.schemas import INCOMPATIBLE, Schemas
from headrace.bridge.tail import Position
from headrace.bridge.wire import Command, Fields, command, content, field, fields, integer, sending
from headrace.process.letter_properties import SCHEMA, UNKNOWN

WINDOW = 100
"""So many entries are on their way at once."""
_PRODUCER = 1
_REQUEST = 1
_SIGNED = 2**63


TOO_LARGE = "its key and properties are larger than the broker takes"


class Landed(NamedTuple):
    """Where a message lies."""

    first: Position
    last: Position
    """Another place than :attr:`first` when it went in chunks."""


class ExactProducer:
    """Of one partition's topic. Not shared between threads."""

    def __init__(self, raw: RawTopics, topic: str, name: str, *, of_letters: bool) -> None:
        """*of_letters*: a message whose schema the topic does not take goes as bytes, and carries its schema itself;
        otherwise it does not go."""
        self._raw = raw
        self._topic = topic
        self._name = name
        self._of_letters = of_letters
        self._last_id = 0

    def send(self, messages: Sequence[Message]) -> list[Landed | str]:
        """Publish *messages*, whose properties go as they stand, and return when Pulsar has them: where each lies, or
        why it was not sent.

        Raises ``RAW_TROUBLE``; then nobody knows how many of them it has.
        """
        with self._raw.link(self._topic) as link:
            schemas = Schemas(link, self._topic)
            prepared = [self._prepared(message, schemas) for message in messages]
            self._begin(link, schemas)
            found: list[Landed | str] = []
            portion: list[bytes] = []
            for message, version, problem in prepared:
                frames = [] if problem else self._frames(message, version, link.largest_message)
                if len(frames) != 1 or len(portion) == WINDOW:
                    found += [Landed(place, place) for place in self._exchange(link, portion)]
                    portion = []
                if len(frames) == 1:
                    portion += frames
                elif frames:
                    places = [self._exchange(link, [frame])[0] for frame in frames]
                    found.append(Landed(places[0], places[-1]))
                else:
                    found.append(problem or TOO_LARGE)
            return found + [Landed(place, place) for place in self._exchange(link, portion)]

    def _begin(self, link: Link, schemas: Schemas) -> None:
        names = field(1, self._topic) + field(2, _PRODUCER) + field(3, _REQUEST) + field(4, self._name)
        try:
            link.send(command(Command.PRODUCER, names))
            answer = link.answer(Command.PRODUCER_SUCCESS)
        except BrokerRefusalError as error:
            # it enforces its schema, which each message names by its version
            if error.code != INCOMPATIBLE or not (schema := schemas.latest(base_topic(self._topic))):
                raise
            link.send(command(Command.PRODUCER, names, field(7, schema)))
            answer = link.answer(Command.PRODUCER_SUCCESS)
        self._last_id = max(self._last_id, _signed(answer.body, 3))

    def _prepared(self, message: Message, schemas: Schemas) -> tuple[Message, bytes, str]:
        """*message*, the version of its schema, and why it cannot go."""
        schema = message.header.schema
        if schema is None:
            return message, b"", ""
        itself = schemas.found(schema)
        if itself and (version := schemas.version(schema)):
            return message, version, ""
        if not self._of_letters:
            why = (
                "does not take the schema that it was written by"
                if itself
                else f"cannot have {schema!s}, which is gone"
            )
            return message, b"", f"{base_topic(self._topic)} {why}"
        text = base64.b64encode(itself).decode() or UNKNOWN
        return replace(message, properties={**(message.properties or {}), SCHEMA: text}), b"", ""

    def _exchange(self, link: Link, frames: Sequence[bytes]) -> list[Position]:
        for frame in frames:
            link.send(frame)
        found = []
        for _ in frames:
            place = fields(content(link.answer(Command.SEND_RECEIPT).body, 3))
            if _signed(place, 1) < 0:
                raise BrokerRefusalError("the broker takes it for a repetition")
            found.append((integer(place, 1), integer(place, 2)))
        return found

    def _frames(self, message: Message, version: bytes, most: int) -> list[bytes]:
        """*message* in one piece, or in as many as the broker wants, and none when it takes none; all have one id,
        which no other try had."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        metadata = field(1, self._name) + field(2, self._last_id) + field(3, time.time_ns() // 1_000_000)
        metadata += _metadata(message) + (field(16, version) if version else b"")
        numbers = field(1, _PRODUCER) + field(2, self._last_id) + field(3, 1)
        room = most - CHUNK_BYTES - metadata_bytes(message)
        payload = message.payload
        if len(payload) <= room:
            return [sending(numbers, metadata, payload)]
        if room <= 0:
            return []
        pieces = [payload[at : at + room] for at in range(0, len(payload), room)]
        whole = field(26, uuid.uuid4().hex) + field(27, len(pieces)) + field(28, len(payload))
        return [
            sending(numbers + field(7, 1), metadata + whole + field(29, number), piece)
            for number, piece in enumerate(pieces)
        ]


def _metadata(message: Message) -> bytes:
    header = message.header
    found = b"".join(field(4, field(1, name) + field(2, value)) for name, value in (message.properties or {}).items())
    if message.key:
        found += field(6, message.key)
    if message.event_time:
        found += field(12, message.event_time)
    if header.key_is_bytes:
        found += field(17, 1)
    if header.ordering_key:
        found += field(18, header.ordering_key)
    if message.deliver_at:
        found += field(19, message.deliver_at)
    if header.null_value:
        found += field(25, 1)
    return found


def _signed(found: Fields, number: int) -> int:
    value = integer(found, number)
    return value - 2 * _SIGNED if value >= _SIGNED else value
