"""A retry letter, seen as the message that it was made of. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from headrace.api.topic import base_topic
from headrace.bridge.pulsar_library import Message, MessageId, properties_of
from headrace.process.letter_properties import (
    JOURNEY,
    KEY_FORM,
    METADATA,
    PUBLISH_TIME,
    SCHEMA,
    UNKNOWN,
    is_ours,
    milliseconds,
    number,
    original,
)

_MESSAGE_ID = re.compile(r"[0-9]{1,19}:[0-9]{1,19}:-?[0-9]{1,10}(:[0-9]{1,10})?")

Origin = Callable[[Message, MessageId], tuple[str, str]]
"""Gives topic and message id of a received message as they first were."""


def message_id(identity: MessageId) -> str:
    """`ledger:entry:partition`, with the index for one of a batch; as Java prints it."""
    index = identity.batch_index()
    text = f"{identity.ledger_id()}:{identity.entry_id()}:{identity.partition()}"
    return f"{text}:{index}" if index >= 0 else text


def origin(message: Message, identity: MessageId) -> tuple[str, str]:
    """Topic and message id of *message* as they first were."""
    if isinstance(message, Retried):
        return message.origin
    return base_topic(message.topic_name()), message_id(identity)


class Retried:
    """A letter with the methods of the message that it was made of; where it lies itself, it still says.

    *consumes*: whether a topic is one of the bridge's own: what a letter says of another one is not believed.
    """

    def __init__(self, letter: Message, consumes: Callable[[str], bool]) -> None:
        self.letter = letter
        self._found = properties_of(letter)
        topic, name = self._found.get("REAL_TOPIC", ""), self._found.get("ORIGIN_MESSAGE_ID", "")
        known = consumes(base_topic(topic)) and _MESSAGE_ID.fullmatch(name) is not None
        self.origin = (base_topic(topic), name) if known else origin(letter, letter.message_id())
        """Topic and message id of the message."""
        self.attempt = (number(self._found.get("RECONSUMETIMES")) or 0) + 1 if known else 1
        """Which attempt this is; the first was 1."""
        self._own = original(self._found) if known else self._found
        self._journey = {name: self._found[name] for name in JOURNEY if name in self._found} if known else {}

    @property
    def unknown(self) -> dict[str, str]:
        """What its letter says that nobody knows of it, and its next letter must still say."""
        found = {name: text for name, text in self._found.items() if name in (KEY_FORM, METADATA)}
        return found | ({SCHEMA: UNKNOWN} if self._found.get(SCHEMA) == UNKNOWN else {})

    def properties(self) -> dict[str, str]:
        """Its own, and what a replay noted on it."""
        return self._own | self._journey

    def producer_name(self) -> str:
        """Its producer's; of one that a replay published a name of ours."""
        if self._journey:
            return self.letter.producer_name()
        return "" if is_ours(self.letter.producer_name()) else self.letter.producer_name()

    def publish_timestamp(self) -> int:
        """When it was first published, as far as the letter says so: Java's do not."""
        return milliseconds(self._found.get(PUBLISH_TIME)) or self.letter.publish_timestamp()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.letter, name)
