"""Cuts as frames: which message goes to which partition, under which id. Pure and repeatable."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from headrace.bridge.cut import Cut
from headrace.bridge.message import Message, as_too_large
from headrace.bridge.record import converter, sealer


@dataclass(frozen=True)
class Frame:
    """What one partition gets of a cut."""

    topic: str
    """The partition's own topic."""
    batched: bool
    """One batch, all or nothing; dead letters go one by one, in chunks when they are large."""
    messages: list[tuple[int, Message]]
    """Sequence ids, rising, and messages."""
    cut: str
    """Which cut it is of, for the property ``HEADRACE_CUT``."""

    @property
    def first(self) -> int:
        """The frame's sequence id, by which the broker knows it again."""
        return self.messages[0][0]


def cut_id(cut: Cut) -> str:
    """How ``HEADRACE_CUT`` names the cut."""
    return f"{cut.routing.source}:{cut.first}"


def frames(cut: Cut, too_large: Set[int] = frozenset()) -> list[Frame]:
    """The cut's frames. The same cut gives the same frames, in any process and version that shares this rule.

    *too_large*: ids of messages that the broker was found not to take.
    """
    convert, routing, identity = converter(cut.routing), cut.routing, cut_id(cut)
    sealed = sealer(routing, cut.made)
    found: dict[tuple[bool, int], list[tuple[int, Message]]] = {}
    for sequence_id, entry in enumerate(cut.entries, cut.first):
        message = convert(entry)
        if sequence_id in too_large:
            message = as_too_large(message, routing.source, "than the broker takes.")
        elif sealed is not None:
            message = sealed(message, sequence_id)
        dead = message.reason is not None
        target = routing.dead_letter if dead else routing.sink
        found.setdefault((dead, target.partition_of(message.key, cut.first)), []).append((sequence_id, message))
    return [
        Frame((routing.dead_letter if dead else routing.sink).partition_topic(partition), not dead, messages, identity)
        for (dead, partition), messages in found.items()
    ]
