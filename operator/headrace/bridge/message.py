"""A message for Pulsar, and what makes a dead letter of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.bridge.header import NOTHING, Header
from headrace.process.exact_json import utf8
from headrace.process.letter_properties import ATTEMPTS, ERROR, FORM, REASON, SOURCE, kept

ERROR_LENGTH = 1000
"""Longest error text in a dead letter, in characters."""


@dataclass(slots=True)
class Message:
    """A message for Pulsar."""

    payload: bytes
    key: str | None = None
    properties: dict[str, str] | None = None
    event_time: int | None = None
    """Milliseconds since the epoch."""
    reason: str | None = None
    """Why it is a dead letter; None for the sink."""
    large: bool = False
    """It is larger than the broker takes in one piece, and goes in chunks."""
    deliver_at: int | None = None
    """The broker gives it to Shared subscriptions from then on, in milliseconds since the epoch. It goes alone."""
    header: Header = NOTHING
    """What else the message has. Only messages that go one by one have any."""


PROPERTY_BYTES = 16
"""What Pulsar's metadata needs for a property besides its name and its value."""

CHUNK_BYTES = 16 * 1024
"""Room that metadata leaves for a piece of the payload inside the broker's limit."""


class PoisonError(Exception):
    """A message that cannot be moved: ``reason`` is one CamelCase word, the text a sentence."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(utf8(error))
        self.reason = reason


def dead_letter(
    payload: bytes,
    reason: str,
    error: str,
    *,
    source: str,
    attempts: int = 1,
    key: str | None = None,
    properties: dict[str, str] | None = None,
    event_time: int | None = None,
    header: Header = NOTHING,
) -> Message:
    """A dead letter with the properties that Java's clients and our replay read.

    *properties*: as they stand on a letter, those of a message by :func:`headrace.process.letter_properties.kept`.
    """
    marks = {
        "RECONSUMETIMES": str(max(attempts - 1, 0)),
        REASON: utf8(reason),
        ERROR: utf8(error[:ERROR_LENGTH]),
        ATTEMPTS: str(attempts),
    }
    return Message(payload, key, {SOURCE: source, **(properties or {}), **marks}, event_time, reason, header=header)


def as_too_large(message: Message, source: str, limit: str) -> Message:
    """The dead letter of a message that no frame can hold; it goes in chunks, whole."""
    return dead_letter(
        message.payload,
        "MessageTooLarge",
        f"the message has {len(message.payload)} bytes, more {limit}",
        source=source,
        key=message.key,
        properties=kept(message.properties or {}),
        event_time=message.event_time,
        header=message.header,
    )


def fitted(letter: Message, limit_bytes: int) -> Message | None:
    """*letter* with as much of its error as the broker takes beside what the original had; None when that alone is more
    than fits into one piece, of which there must be room in each chunk."""
    properties = letter.properties or {}
    room = limit_bytes - CHUNK_BYTES - metadata_bytes(letter)
    if room >= 0:
        return letter
    error = properties.get(ERROR, "").encode()
    if room + len(error) < 0:
        return None
    cut = error[: room + len(error)].decode(errors="ignore")
    return replace(letter, properties={**properties, ERROR: cut})


def as_entry(entry: bytes, form: str, letter: Message) -> Message:
    """The dead letter of an *entry* of that *form* instead of *letter*, whose properties no broker takes."""
    reason = letter.reason or "MetadataTooLarge"
    marks = {name: text for name, text in (letter.properties or {}).items() if name in (ATTEMPTS, SOURCE)}
    error = "its key and properties are larger than the broker takes: the payload is the whole entry."
    return Message(entry, None, {**marks, REASON: reason, ERROR: error, FORM: form}, None, reason)


def metadata_bytes(message: Message) -> int:
    """At most so many bytes has what Pulsar's metadata says of *message*, without what all messages have."""
    properties = message.properties or {}
    texts = sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())
    keys = len((message.key or "").encode()) + len(message.header.ordering_key)
    return texts + PROPERTY_BYTES * (len(properties) + 1) + keys
