"""Cuts as frames: which message goes to which partition, under which id. Pure and repeatable."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from enum import Enum

from headrace.bridge.cut import Cut
from headrace.bridge.message import Message, as_entry, as_too_large
from headrace.bridge.record import converter, plain, sealer

_Pairs = list[tuple[int, Message]]
_Runs = dict[tuple[bool, int], list[tuple["Way", _Pairs]]]
"""What goes one way, in its order; by whether it is for dead letters, and partition."""


class Way(Enum):
    """How a frame travels; each way has a producer of its own."""

    BATCHED = "batched"
    """One batch, all or nothing."""
    CHUNKED = "chunks"
    """One by one, in chunks, between the batches of its partition."""
    DEAD_LETTERS = "dead-letters"
    """One by one, in chunks where they are large."""


@dataclass(frozen=True)
class Frame:
    """What one partition gets of a cut, or a part of it."""

    topic: str
    """The partition's own topic."""
    way: Way
    messages: _Pairs
    """Sequence ids, rising, and messages."""
    cut: str
    """Which cut it is of, for the property ``HEADRACE_CUT``."""
    producer: str
    """Name of the producer, less what its way adds."""
    made: int
    """When the cut was, by Valkey's clock: milliseconds since the epoch."""

    @property
    def batched(self) -> bool:
        """Whether it is one batch."""
        return self.way is Way.BATCHED

    @property
    def dead(self) -> bool:
        """Whether it holds dead letters."""
        return self.way is Way.DEAD_LETTERS

    @property
    def first(self) -> int:
        """The first sequence id; of a batch the one by which the broker knows it again."""
        return self.messages[0][0]

    @property
    def last(self) -> int:
        """The last sequence id."""
        return self.messages[-1][0]


def frames(cut: Cut, too_large: Set[int] = frozenset()) -> list[Frame]:
    """The cut's frames, those of a partition in their order. The same cut gives the same frames, in any process and
    version that shares this rule.

    *too_large*: ids of messages that the broker was found not to take in one piece.
    """
    routing = cut.routing
    if not too_large and plain(routing, cut.entries):
        pairs = list(enumerate(map(Message, cut.entries), cut.first))
        found: _Runs = {(False, routing.sink.partition_of(None, cut.first)): [(Way.BATCHED, pairs)]}
    else:
        found = _runs(cut, too_large)
    names = {dead: routing.cut_name(cut.made, cut.first, dead=dead) for dead in (False, True)}
    return [
        Frame(
            (routing.dead_letter if dead else routing.sink).partition_topic(partition),
            way,
            messages,
            names[dead],
            routing.producer,
            cut.made,
        )
        for (dead, partition), runs in found.items()
        for way, messages in runs
    ]


def without(parts: list[Frame], landed: Set[int]) -> list[Frame]:
    """What is left of *parts* when the messages with the ids *landed* are taken out."""
    if not landed:
        return parts
    left = [replace(part, messages=[pair for pair in part.messages if pair[0] not in landed]) for part in parts]
    return [part for part in left if part.messages]


def _runs(cut: Cut, too_large: Set[int]) -> _Runs:
    convert, routing = converter(cut.routing), cut.routing
    sealed = sealer(routing, cut.made)
    renamed = 0 if routing.named_from is None else routing.named_from - cut.first
    found: _Runs = {}
    for sequence_id, entry in enumerate(cut.entries, cut.first):
        message = convert(entry)
        if sealed is not None:
            message = sealed(message, sequence_id + renamed)
        if sequence_id in too_large and (message.reason is not None or message.deliver_at is not None):
            message = as_entry(entry, routing.format, message)
        elif sequence_id in too_large:
            if routing.chunking:
                message.large = True
            else:
                message = as_too_large(convert(entry), routing.source, "than the broker takes.")
        dead = message.reason is not None
        way = Way.DEAD_LETTERS if dead else Way.CHUNKED if message.large or message.deliver_at else Way.BATCHED
        target = routing.dead_letter if dead else routing.sink
        key = dead, target.partition_of(message.key, cut.first)
        runs = found.get(key)
        if runs is None:
            runs = found[key] = [(way, [])]
        elif runs[-1][0] is not way:
            runs.append((way, []))
        runs[-1][1].append((sequence_id, message))
    return found
