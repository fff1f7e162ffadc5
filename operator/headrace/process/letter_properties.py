"""Which properties say something of a letter, and how a message's own of the same names pass by them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CUT = "HEADRACE_CUT"
"""``<cut>:<sequence id>`` on the last message of each frame, so on each that goes alone: how far a cut has landed."""
LETTER = "HEADRACE_LETTER"
"""Names the letter that a message was made of."""
REPLAY = "HEADRACE_REPLAY"
"""The id of the latest replay."""
REPLAYS = "HEADRACE_REPLAYS"
"""How often the message was replayed; its next letter must still say so."""

JOURNEY = frozenset({LETTER, REPLAY, REPLAYS})
"""What a replay notes on a message. Where Headrace wrote it, no task, no envelope and no selector sees it."""

REASON = "HEADRACE_REASON"
ERROR = "HEADRACE_ERROR"
ATTEMPTS = "HEADRACE_ATTEMPTS"
SOURCE = "HEADRACE_SOURCE"
"""``Kind/namespace/name`` of the resource that wrote the letter."""
PUBLISH_TIME = "HEADRACE_PUBLISH_TIME"
"""When the original was published, in milliseconds since the epoch."""
FORM = "HEADRACE_FORM"
"""What the payload is, where it is not that of a message: the format of an entry that no message could be made of. A
replay tries it once more."""
METADATA = "HEADRACE_METADATA"
"""Of what no client could read: the payload are the bytes of an entry, or key and properties are not UTF-8 and are
missing. This is its `MessageMetadata` (of one message in a batch its `SingleMessageMetadata`), in Base64."""
KEY_FORM = "HEADRACE_KEY_FORM"
"""``Unknown`` where nobody could tell whether the key is a text or the Base64 of bytes."""
SCHEMA = "HEADRACE_SCHEMA"
"""The schema of the message (Pulsar's ``Schema``, in Base64), where the letter's topic did not take it; ``Unknown``
where it was gone."""
UNKNOWN = "Unknown"
CELERY_MESSAGE = "CeleryMessage"
"""The form of a letter that holds an entry of a queue as it was."""
TASK_CALL = "TaskCall"
"""The form of a letter that holds the call of a task which was made of no message."""
STREAM_ENTRY = "StreamEntry"
"""The form of a letter that holds a stream's entry of which a worker could make no message."""
ADDED = "HEADRACE_ADDED"
"""Names of other properties of the letter that the original does not have, with commas between them."""

JAVA = frozenset(
    {
        "DELAY_TIME",
        "ORIGIN_MESSAGE_ID",
        "ORIGIN_MESSAGE_IDY_TIME",
        "REAL_SUBSCRIPTION",
        "REAL_TOPIC",
        "RECONSUMETIMES",
    }
)
"""What Java's consumers write on retry letters and dead letters (``RetryMessageUtil``)."""

MARKS = JAVA | {CUT, REASON, ERROR, ATTEMPTS, SOURCE, PUBLISH_TIME, FORM, METADATA, KEY_FORM, SCHEMA, ADDED}
"""What makes a letter of a message."""

OURS = "HEADRACE_"
KEPT = "HEADRACE_KEPT_"
"""Stands before the name of a message's own property that would say something of its letter."""


def is_ours(producer: str) -> bool:
    """Whether Headrace published a message, by the name of its producer."""
    return producer.startswith(("headrace/", "headrace-replay/"))


def letter_names(properties: Iterable[str]) -> list[str]:
    """Of names of *properties* those that say why the message became a letter, the last time first: each letter keeps
    the marks of the one before under a longer name."""
    found, names, name = [], set(properties), REASON
    while name in names:
        found.append(name)
        name = KEPT + name
    return found


def kept(properties: Mapping[str, str], *, replayed: bool = False) -> dict[str, str]:
    """A message's *properties* as they stand on its letter; :func:`original` undoes it.

    *replayed*: what a replay noted on the message is a replay's, and no property of its own.
    """
    return {
        name if _says_nothing(name) or (replayed and name in JOURNEY) else KEPT + name: value
        for name, value in properties.items()
    }


def original(properties: Mapping[str, str]) -> dict[str, str]:
    """The own properties of the message that a letter with *properties* was made of."""
    if REASON not in properties:  # a letter of another program keeps whatever it found
        return {name: value for name, value in properties.items() if name not in JAVA and name not in JOURNEY}
    left = {*MARKS, *JOURNEY, *properties.get(ADDED, "").split(",")}
    return {
        name.removeprefix(KEPT): value
        for name, value in properties.items()
        if name not in left and (name.startswith(KEPT) or KEPT + name not in properties)
    }


def own(properties: dict[str, str]) -> dict[str, str]:
    """What its producer said of a message that a replay published, of all its *properties*."""
    return {name: value for name, value in properties.items() if name not in JOURNEY}


def number(text: str | None) -> int | None:
    """What a count in a property says; None when it is none, or one that nobody counted up to."""
    return int(text) if text is not None and len(text) < 10 and text.isascii() and text.isdigit() else None


def milliseconds(text: str | None) -> int:
    """A time in a property, in milliseconds since the epoch; 0 for none."""
    return int(text) if text is not None and len(text) < 19 and text.isascii() and text.isdigit() else 0


def _says_nothing(name: str) -> bool:
    return not name.startswith(OURS) and name not in JAVA
