"""A message for Pulsar, and what makes a dead letter of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.process.exact_json import utf8

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
) -> Message:
    """A dead letter with the properties that Java's clients and our replay read."""
    own = {
        "RECONSUMETIMES": str(max(attempts - 1, 0)),
        "HEADRACE_REASON": utf8(reason),
        "HEADRACE_ERROR": utf8(error[:ERROR_LENGTH]),
        "HEADRACE_ATTEMPTS": str(attempts),
    }
    carried = properties or {}
    return Message(payload, key, {"HEADRACE_SOURCE": source, **carried, **own}, event_time, reason)


def as_too_large(message: Message, source: str, limit: str) -> Message:
    """The dead letter of a message that no frame can hold; it goes in chunks, whole."""
    return dead_letter(
        message.payload,
        "MessageTooLarge",
        f"the message has {len(message.payload)} bytes, more {limit}",
        source=source,
        key=message.key,
        properties=message.properties,
        event_time=message.event_time,
    )
