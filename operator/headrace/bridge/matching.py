"""Which messages `replay.match` chooses, and what it asked for that none of them had. Pure."""

from __future__ import annotations

from typing import Any

import jmespath
import orjson

from headrace.api.replay_match import missing, paths
from headrace.bridge.letter import Letter, UnreplayableError
from headrace.process.exact_json import loads, utf8

MOST_REASONS = 5
"""So many reasons of letters that were not chosen are named."""


class Matcher:
    """Says whether a letter matches, and remembers what it saw. *noted*: what an earlier process remembered."""

    def __init__(self, expression: str | None, noted: str = "") -> None:
        self._search = jmespath.compile(expression).search if expression else None
        asked = paths(expression) if expression else ()
        memory = orjson.loads(noted) if noted else {}
        found = set(memory.get("found", ()))
        self._asked = {".".join(path): path for path in asked}
        self._unseen = {name: path for name, path in self._asked.items() if name not in found}
        self._reasons: dict[str, None] = dict.fromkeys(memory.get("reasons", ()))

    def __call__(self, letter: Letter, topic: str | None) -> bool:
        """Whether *letter*, which came from *topic*, matches.

        Raises :class:`UnreplayableError` when the expression cannot be applied to it.
        """
        if self._search is None:
            return True
        facts = _facts(letter, topic)
        for name in [name for name, path in self._unseen.items() if not missing(path, facts)]:
            del self._unseen[name]
        if facts["reason"] and len(self._reasons) < MOST_REASONS:
            self._reasons.setdefault(str(facts["reason"])[:100])
        try:
            return _is_true(self._search(facts))
        except Exception as error:  # jmespath raises whatever Python does with values of a wrong type
            raise UnreplayableError(f"match does not apply to it: {utf8(str(error))}.") from None

    @property
    def noted(self) -> str:
        """What the next process has to remember."""
        found = [name for name in self._asked if name not in self._unseen]
        return orjson.dumps({"found": found, "reasons": list(self._reasons)}).decode()

    def complaint(self, matched: int, looked: int) -> str:
        """What is odd about a run that chose *matched* of *looked* messages; empty when nothing is."""
        if self._search is None or not looked:
            return ""
        texts = []
        if self._unseen:
            names = ", ".join(self._unseen)
            texts.append(f"match asks for {names}, which none of the {looked} messages has")
        if not matched:
            reasons = f", whose reasons are {', '.join(self._reasons)}" if self._reasons else ""
            texts.append(f"match chose none of the {looked} messages{reasons}")
        return "; ".join(texts)


def _facts(letter: Letter, topic: str | None) -> dict[str, Any]:
    """What `match` sees: see :data:`headrace.api.replay_match.FACTS`."""
    properties = letter.properties
    attempts = properties.get("HEADRACE_ATTEMPTS", "")
    return {
        "payload": _readable(letter.payload),
        "key": letter.key,
        "properties": properties,
        "reason": properties.get("HEADRACE_REASON"),
        "error": properties.get("HEADRACE_ERROR"),
        "attempts": int(attempts) if attempts.isascii() and attempts.isdigit() and len(attempts) < 10 else None,
        "topic": topic,
        "messageId": letter.message_id,
        "publishTime": letter.publish_time,
    }


def _readable(payload: bytes) -> Any:
    """The payload's JSON value; text where it is none, null where it is no text."""
    try:
        return loads(payload)
    except ValueError:
        pass
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _is_true(value: Any) -> bool:
    """JMESPath's own rule: false are null, false, and what is empty; 0 is true."""
    return value is not None and value is not False and value not in ("", [], {})
