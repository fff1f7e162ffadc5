"""What a replay does with a message: which one matches, where it goes, and as what. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from headrace.api.replay import Replay
from headrace.api.topic import TOPIC_NAME
from headrace.bridge.routing import EntryFormat
from headrace.process.letter_properties import FORM, JOURNEY, METADATA, REPLAY, REPLAYS, number, original

MOST_TARGETS = 64
"""Topics that one process takes letters to: each has a producer of its own."""


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
    record: bytes = b""
    """The outbox record that takes it there."""


class UnreplayableError(Exception):
    """The letter cannot be replayed; the text is a sentence."""


def judge(
    replay: Replay, matches: Callable[[Letter, str | None], bool], topic: str | None, dead_letter_topic: str
) -> Callable[[Letter], Judgement]:
    """The function that decides on a letter as *replay* says. It never raises.

    *matches*: whether it is to be replayed; may raise :class:`UnreplayableError`. *topic*: where one goes that names
    none, if it may; *dead_letter_topic*: where none goes, as it lies there.
    """
    targets: set[str] = set()

    def decide(letter: Letter) -> Judgement:
        try:
            origin = letter.properties.get("REAL_TOPIC") or topic
            if not matches(letter, origin):
                return Judgement(Fate.SKIPPED)
            target = replay.target or origin
            if target is None:
                raise UnreplayableError(
                    "it has no property REAL_TOPIC, and the bridge has several topics: name a target."
                )
            if not re.match(TOPIC_NAME, target):
                raise UnreplayableError(f"its property REAL_TOPIC names no topic: {target[:200]}.")
            if target == dead_letter_topic:
                raise UnreplayableError("it would go to the dead-letter topic again.")
            if problem := wrapped(letter.properties):
                raise UnreplayableError(problem)
            if target not in targets and len(targets) == MOST_TARGETS:
                raise UnreplayableError(f"the letters name more than {MOST_TARGETS} topics; name one as target.")
            targets.add(target)
            return Judgement(Fate.REPLAYED, target=target, record=_record(letter, replay))
        except UnreplayableError as problem:
            return Judgement(Fate.FAILED, f"{letter.message_id} stays: {problem}")

    return decide


def wrapped(properties: Mapping[str, str]) -> str:
    """Why the payload of a letter with *properties* is no message's; empty when it is one."""
    if METADATA in properties:
        return f"it holds the bytes of an entry that no client could read; {METADATA} says how they were made."
    form = properties.get(FORM, EntryFormat.RAW)
    return "" if form == EntryFormat.RAW else f"it holds an entry ({form}) that no message could be made of."


def renewed(properties: Mapping[str, str], max_replays: int) -> dict[str, str]:
    """What a letter's *properties* are when it goes back: without what made it one, and counted.

    Raises :class:`UnreplayableError` when it was replayed *max_replays* times, or its own name a replay's.
    """
    before = number(properties.get(REPLAYS, "0"))
    if before is None:
        raise UnreplayableError(f"its property {REPLAYS} is no number.")
    if before >= max_replays:
        raise UnreplayableError(f"it was replayed {before} times, and maxReplays is {max_replays}.")
    own = original(properties)
    if taken := sorted(JOURNEY & own.keys()):
        raise UnreplayableError(f"its producer gave it the property {taken[0]}, which a replay needs for its own.")
    return {**own, REPLAYS: str(before + 1)}


def _record(letter: Letter, replay: Replay) -> bytes:
    return orjson.dumps(
        {
            "type": "Result",
            "payloadBase64": base64.b64encode(letter.payload).decode(),
            "key": letter.key,
            "properties": {**renewed(letter.properties, replay.max_replays), REPLAY: replay.id},
            "eventTimeMillis": letter.event_time or None,
        }
    )
