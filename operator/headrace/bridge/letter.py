"""A dead letter, and the message that it becomes again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.bridge.header import NOTHING, Header
from headrace.bridge.message import Message
from headrace.process.letter_properties import (
    JOURNEY,
    KEY_FORM,
    METADATA,
    REPLAY,
    REPLAYS,
    SCHEMA,
    UNKNOWN,
    number,
    original,
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it lies in the topic that is read."""

    message_id: str
    payload: bytes
    key: str | None
    properties: dict[str, str]
    event_time: int
    """Milliseconds since the epoch; 0 for none."""
    publish_time: int
    """Milliseconds since the epoch."""
    header: Header = NOTHING


class UnreplayableError(Exception):
    """The letter cannot be replayed; the text is a sentence."""


def restored(letter: Letter, max_replays: int, run: str) -> Message:
    """The message that *letter* was made of, marked as replayed by *run*. Raises :class:`UnreplayableError`."""
    properties = {**renewed(letter.properties, max_replays), REPLAY: run}
    return Message(letter.payload, letter.key, properties, letter.event_time or None, header=sure(letter.header))


def sure(header: Header) -> Header:
    """*header*; raises :class:`UnreplayableError` where it is not known whole."""
    if header.key_is_bytes is None:
        raise UnreplayableError("it could not be read whether its key is a text or the Base64 of bytes.")
    return header


def renewed(properties: Mapping[str, str], max_replays: int) -> dict[str, str]:
    """What a letter's *properties* are when it goes back: without what made it one, and counted.

    Raises :class:`UnreplayableError` when it was replayed *max_replays* times, or its own name a replay's.
    """
    if METADATA in properties:
        text = f"it holds what no client could read; {METADATA} says what the message was."
        raise UnreplayableError(text)
    if KEY_FORM in properties:
        raise UnreplayableError("nobody knows whether its key is a text or the Base64 of bytes.")
    if properties.get(SCHEMA) == UNKNOWN:
        raise UnreplayableError("the schema that it was written by was gone when the letter was written.")
    own = original(properties)
    if taken := sorted(JOURNEY & own.keys()):
        raise UnreplayableError(f"its producer gave it the property {taken[0]}, which a replay needs for its own.")
    return own | counted(properties, max_replays)


def counted(properties: Mapping[str, str], max_replays: int) -> dict[str, str]:
    """What counts the replays of a letter with *properties*, this one included."""
    before = number(properties.get(REPLAYS, "0"))
    if before is None:
        raise UnreplayableError(f"its property {REPLAYS} is no number.")
    if before >= max_replays:
        raise UnreplayableError(f"it was replayed {before} times, and maxReplays is {max_replays}.")
    return {REPLAYS: str(before + 1)}
