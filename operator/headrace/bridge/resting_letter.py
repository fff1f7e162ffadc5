"""Letters that a bridge comes by in the topic where a bridge of ours put them: what bounds a loop of letters. Pure.

Such a letter stays where it lies, for the subscription that keeps it, whatever another subscription does with it. So a
bridge that can make nothing of it passes over it, and no letter of a letter of a letter … is written.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.pulsar_library import Message
from headrace.bridge.retried import Retried
from headrace.process.letter_properties import REASON, is_ours, letter_names

MOST_LETTERS = 4
"""A message that was a letter so often is not moved any further."""

LARGEST_RETRY_BYTES = 4 * 1024 * 1024
"""A larger payload would need chunks, which a Shared subscription does not put together."""


class RestingLetters:
    """Says which letters a bridge passes over."""

    def __init__(self, bridge: PulsarBridge) -> None:
        source = bridge.spec.source.pulsar
        self._found_by_pattern = source is not None and source.topics_pattern is not None

    def goes_no_further(self, message: Message, properties: Mapping[str, str]) -> bool:
        """Whether the message is not moved at all: it was a letter too often."""
        return len(letter_names(properties)) >= MOST_LETTERS and _rests(message, properties)

    def stays(self, message: Message, properties: Mapping[str, str]) -> bool:
        """Whether the message, of which nothing can be made, stays where it is and becomes no letter."""
        if REASON not in properties:
            return False
        return _rests(message, properties) if self._found_by_pattern else self.goes_no_further(message, properties)


def _rests(message: Message, properties: Mapping[str, str]) -> bool:
    """Whether it lies where a bridge put it as a letter; what carried it elsewhere has producers of other names."""
    name = message.producer_name()
    if isinstance(message, Retried) or not is_ours(name):
        return False
    if name.endswith("/dead-letters"):
        return True
    return name.endswith("/chunks") and "DELAY_TIME" in properties and len(message.data()) <= LARGEST_RETRY_BYTES
