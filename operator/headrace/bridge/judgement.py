"""What a replay does with a letter: whether it goes, where, and as what. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay
from headrace.api.topic import TOPIC_NAME, base_topic
from headrace.bridge.entry_letter import Entries, form_of
from headrace.bridge.letter import Letter, UnreplayableError, counted, renewed, restored
from headrace.bridge.limits import MESSAGE_OVERHEAD_BYTES
from headrace.bridge.message import Message, metadata_bytes
from headrace.bridge.routing import entry_format
from headrace.process.letter_properties import REPLAY, REPLAYS, SOURCE

MOST_TARGETS = 64
"""Topics that one process takes letters to: each has producers of its own."""


class Fate(StrEnum):
    """What becomes of a letter; also the label of the count."""

    REPLAYED = "replayed"
    SKIPPED = "skipped"
    """It does not match."""
    FAILED = "failed"
    """It matches, or nobody knows, and cannot go."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A letter's fate."""

    fate: Fate
    problem: str = ""
    """Why it failed."""
    target: str = ""
    """The topic that it goes to."""
    message: Message | None = None
    """As what it goes there."""


class Judge:
    """Decides as *replay* of *bridge* says.

    *matches*: whether a letter, which came from a topic, is to be replayed; may raise :class:`UnreplayableError`.
    *limit_bytes*: what the broker takes in one piece.
    """

    def __init__(
        self, bridge: PulsarBridge, replay: Replay, matches: Callable[[Letter, str | None], bool], limit_bytes: int
    ) -> None:
        self._bridge = bridge
        self._replay = replay
        self._matches = matches
        self._limit = limit_bytes
        self._entries = Entries(bridge, limit_bytes)
        self._targets: set[str] = set()

    def __call__(self, letter: Letter) -> Judgement:
        """What becomes of *letter*. It never raises."""
        try:
            if not self._matches(letter, self._origin(letter)):
                return Judgement(Fate.SKIPPED)
            inner, message = self._message(letter)
            return Judgement(Fate.REPLAYED, target=self._target(inner), message=message)
        except UnreplayableError as problem:
            return Judgement(Fate.FAILED, f"{letter.message_id} stays: {problem}")

    def _origin(self, letter: Letter) -> str | None:
        return letter.properties.get("REAL_TOPIC") or self._bridge.spec.pulsar_topic

    def _message(self, letter: Letter) -> tuple[Letter, Message]:
        """The message that *letter* becomes, and the letter that says where it goes: mostly itself."""
        form = form_of(letter, self._bridge)
        sink = self._bridge.spec.sink.pulsar
        if form is not None:
            made = self._entries.message(letter, form)
            if "REAL_TOPIC" in (made.properties or {}):
                found = made.properties or {}
                times = made.event_time or 0, letter.publish_time
                inner = Letter(letter.message_id, made.payload, made.key, found, *times, made.header)
                return inner, restored(inner, self._replay.max_replays, self._replay.id)
            return letter, self._marked(self._entries.sealed(made, letter, form), letter)
        source = self._bridge.spec.source.valkey
        ours = letter.properties.get(SOURCE) == self._bridge.identity and "REAL_TOPIC" not in letter.properties
        if source is not None and ours:
            # it never came as far as its envelope
            own = renewed(letter.properties, self._replay.max_replays)
            own.pop(REPLAYS)
            made = Message(letter.payload, letter.key, own, letter.event_time or None)
            made = self._marked(self._entries.sealed(made, letter, entry_format(source)), letter)
        else:
            made = restored(letter, self._replay.max_replays, self._replay.id)
        if sink is not None and "REAL_TOPIC" not in letter.properties:
            size = len(made.payload) + metadata_bytes(made)
            if not sink.chunking and size > self._limit - MESSAGE_OVERHEAD_BYTES:
                raise UnreplayableError("the broker does not take it in one piece, and sink.pulsar.chunking is off.")
        return letter, made

    def _marked(self, message: Message, letter: Letter) -> Message:
        """*message* as replayed by this run."""
        count = counted(letter.properties, self._replay.max_replays)
        message.properties = {**(message.properties or {}), **count, REPLAY: self._replay.id}
        return message

    def _target(self, letter: Letter) -> str:
        spec, named = self._bridge.spec, letter.properties.get("REAL_TOPIC")
        target = self._replay.target
        if target is None:
            target = base_topic(named) if named else self._own(letter)
            if named and not re.match(TOPIC_NAME, target):
                raise UnreplayableError(f"its property REAL_TOPIC names no topic: {target[:200]}.")
            if named and not spec.consumes(target) and target != spec.pulsar_topic:
                text = f"its property REAL_TOPIC names {target}, which is no topic of the bridge: name a target."
                raise UnreplayableError(text)
        if target == spec.dead_letter_topic:
            raise UnreplayableError("it would go to the dead-letter topic again.")
        if target not in self._targets and len(self._targets) == MOST_TARGETS:
            raise UnreplayableError(f"the letters name more than {MOST_TARGETS} topics; name one as target.")
        self._targets.add(target)
        return target

    def _own(self, letter: Letter) -> str:
        """The topic of the bridge, for a letter that names none."""
        if letter.properties.get(SOURCE, "").startswith("ValkeyWorker/"):
            raise UnreplayableError("it was no message of Pulsar, but of a worker's own list: name a target.")
        if self._bridge.spec.pulsar_topic is None:
            raise UnreplayableError("it has no property REAL_TOPIC, and the bridge has several topics: name a target.")
        return self._bridge.spec.pulsar_topic
