"""Reads a message in chunks back: Pulsar confirms some that no consumer ever gets.

When the topic moves or the connection is lost between two chunks, the client sends those again that were not confirmed.
A broker (4.0.7) that loaded the topic again takes the chunks it has for the whole message, and drops the last one as a
repetition, with success; or a chunk stands there twice, and consumers (3.13) drop the message.
"""

from __future__ import annotations

import re

from headrace.bridge.pulsar_library import Client, MessageId, properties_of
from headrace.bridge.topic_reader import PATIENCE_SECONDS, TopicReader, remaining

Position = tuple[int, int]
"""Ledger and entry."""

_CHUNKS = re.compile(r"\((\d+),(\d+),[^)]*\);\((\d+),(\d+),[^)]*\)")


def first_and_last(identity: MessageId) -> tuple[Position, Position] | None:
    """Where the first and the last chunk of a message lie; None for a message in one piece.

    The client tells it nowhere but in the id's text.
    """
    match = _CHUNKS.fullmatch(str(identity))
    if match is None:
        return None
    first, entry, last, last_entry = map(int, match.groups())
    return (first, entry), (last, last_entry)


def arrived(client: Client, topic: str, name: str, mark: str, first: Position, last: Position) -> bool:
    """Whether a reader gets the message with that *mark*, in the property *name*, whose chunks lie from *first* to
    *last*."""
    reader = TopicReader(client, topic, first)
    try:
        for message in remaining(reader, PATIENCE_SECONDS, _nothing):
            if properties_of(message).get(name) == mark:
                return True
            identity = message.message_id()
            if (identity.ledger_id(), identity.entry_id()) > last:
                break  # a message is given out where its last chunk lies
        return False
    finally:
        reader.close()


def _nothing() -> None:
    pass
