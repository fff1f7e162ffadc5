"""Reads the end of a topic: did something land, before a crash or a broken connection?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing

from headrace.bridge.pulsar_library import AuthorizationError, Client, Message, properties_of
from headrace.bridge.topic_reader import PATIENCE_SECONDS, TopicReader, remaining
from headrace.process.letter_properties import CUT

Position = tuple[int, int]
"""Ledger and entry."""

CLOCK_MARGIN_MILLISECONDS = 60_000
"""How far one clock may run ahead of the clocks of Pulsar's producers."""

NARROW_MARGIN_MILLISECONDS = 2_000
"""How far clocks usually differ: it is looked there first, since at 100,000 messages a second a minute is long."""

_log = logging.getLogger(__name__)


def messages_since(
    client: Client,
    topic: str,
    since: int,
    waiting: Callable[[], None],
    margin_milliseconds: int = CLOCK_MARGIN_MILLISECONDS,
) -> Iterator[Message]:
    """What the partition's topic holds that came after *since* (milliseconds since the epoch), and some before.

    *waiting* is called about once a second.
    """
    with closing(TopicReader(client, topic, None, since=max(since - margin_milliseconds, 0))) as reader:
        yield from remaining(reader, PATIENCE_SECONDS, waiting)


def last_landed(client: Client, topic: str, identity: str, since: int, waiting: Callable[[], None], last: int) -> int:
    """The highest sequence id of the cut *identity* that the partition's topic holds, looking at what came after
    *since*; -1 when it holds none.

    *last*: the highest that there can be. *waiting* is called about once a second.

    This is what makes a replay safe where the broker does not tell: of a producer that it does not know any more (its
    memory of an idle one ends after 6 hours, `brokerDeduplicationProducerInactivityTimeoutMinutes`, or was never
    switched on), and of messages that went one by one.
    """
    found = -1
    for margin in (NARROW_MARGIN_MILLISECONDS, CLOCK_MARGIN_MILLISECONDS):
        for message in messages_since(client, topic, since, waiting, margin):
            found = max(found, _id_in(message, identity))
            if found >= last:
                return found
    return found


def holds(client: Client, topic: str, identity: str, last: int, after: Position | None, since: int) -> bool:
    """Whether the partition's topic holds the message *last* of the cut *identity*, or a later one. True also where
    that cannot be told, as of a topic whose older messages are gone.

    For a frame of which the broker says that it had it before. That is so after a broken connection, and it is not so
    when somebody else used the producer's name: then the broker has dropped what it never had.

    *after*: where the frame before it lies, if that is known; otherwise *since*, when the cut was made, says where to
    begin.
    """
    try:
        if after is not None:
            return _holds_after(client, topic, identity, last, after)
        if last_landed(client, topic, identity, since, _nothing, last) >= last:
            return True
        with closing(TopicReader(client, topic, None)) as reader:
            oldest = next(remaining(reader, PATIENCE_SECONDS, _nothing), None)
        return oldest is None or oldest.publish_timestamp() > since
    except AuthorizationError:
        _log.warning("%s: its end may not be read, so it is believed that a frame is there", topic)
        return True


def _holds_after(client: Client, topic: str, identity: str, last: int, after: Position) -> bool:
    with closing(TopicReader(client, topic, after)) as reader:
        complete = False
        for message in remaining(reader, PATIENCE_SECONDS, _nothing):
            lies = message.message_id()
            complete = complete or (lies.ledger_id(), lies.entry_id()) == after
            if _id_in(message, identity) >= last:
                return True
    return not complete


def _id_in(message: Message, identity: str) -> int:
    """The sequence id in the mark of *message*; -1 when it is not of the cut *identity*."""
    cut, _, sequence_id = properties_of(message).get(CUT, "").rpartition(":")
    return int(sequence_id) if cut == identity else -1


def _nothing() -> None:
    pass
