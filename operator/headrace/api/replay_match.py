"""What `replay.match` asks of a letter, read from the expression itself: a name that no letter has is a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jmespath

Path = tuple[str, ...]
"""Names on the way from the letter to what is asked for."""

FACTS = {
    "payload": "",
    "properties": "",
    "key": "text",
    "reason": "text",
    "error": "text",
    "topic": "text",
    "messageId": "text",
    "attempts": "number",
    "publishTime": "number",
}
"""What a letter has, and what it is: nothing stands for what has parts or may be anything."""

PROPERTIES = "properties"


def paths(expression: str) -> tuple[Path, ...]:
    """What *expression*, which compiles, asks of the letter itself, each once."""
    return tuple(path for path in dict.fromkeys(_Reading(expression).paths) if path[0] in FACTS)


def mistake(expression: str) -> str | None:
    """Why *expression*, which compiles, can never choose what it seems to; None when nothing speaks against it."""
    reading = _Reading(expression)
    for path in reading.paths:
        if path[0] == "null":  # as everybody writes it, and it works: what is not there is null
            continue
        if path[0] not in FACTS:
            name = path[0]
            literal = f"`{name}` in backticks" if name in ("true", "false") else f"'{name}' in single quotes"
            return f"no letter has {name}: write {literal} for the value itself, or one of {', '.join(FACTS)}"
        if len(path) > (2 if path[0] == PROPERTIES else 1) and path[0] != "payload":
            return f"{'.'.join(path[:-1])} has no parts, so no {path[-1]}{_dotted(path)}"
    for path, value in reading.comparisons:
        kind = "text" if path[0] == PROPERTIES and len(path) == 2 else FACTS.get(path[0], "")
        if kind and value is not None and _kind(value) != kind:
            want = "single quotes, such as '5'" if kind == "text" else "backticks, such as `5`"
            return f"{'.'.join(path)} is a {kind}, and is compared with another kind of value: write it in {want}"
    return None


def missing(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether *facts* of a letter have nothing at *path*."""
    value: Any = facts
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value is None


def _dotted(path: Path) -> str:
    if path[0] != PROPERTIES:
        return ""
    return f'; a property whose name has a dot reads properties."{".".join(path[1:])}"'


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "else"


class _Reading:
    """Walks an expression; a place is the path of what is looked at, or None when that is not known."""

    def __init__(self, expression: str) -> None:
        self.paths: list[Path] = []
        self.comparisons: list[tuple[Path, Any]] = []
        place = self._walk(jmespath.compile(expression).parsed, ())
        if place:
            self.paths.append(place)

    def _walk(self, node: Mapping[str, Any], place: Path | None) -> Path | None:
        """Read *node* at *place*; returns the place that it leads to."""
        kind, children = node["type"], node["children"]
        if kind == "field":
            return None if place is None else (*place, node["value"])
        if kind in ("identity", "current"):
            return place
        if kind in ("subexpression", "pipe"):
            for child in children:
                place = self._walk(child, place)
            return place
        if kind in ("index_expression", "projection", "value_projection", "filter_projection", "flatten"):
            self._end(self._walk(children[0], place))
            for child in children[1:]:
                self._walk(child, None)  # an element of what was found
            return None
        if kind == "expref":
            place = None
        places = [self._walk(child, place) for child in children]
        for each in places:
            self._end(each)
        if kind == "comparator":
            self._compare(children, places)
        return None

    def _compare(self, sides: Any, places: list[Path | None]) -> None:
        for place, other in ((places[0], sides[1]), (places[1], sides[0])):
            if place and other["type"] == "literal":
                self.comparisons.append((place, other["value"]))

    def _end(self, place: Path | None) -> None:
        if place:
            self.paths.append(place)


@lru_cache(maxsize=64)
def checked(expression: str) -> str:
    """*expression*, which compiles; raise ``ValueError`` when it asks for what no letter has."""
    found = mistake(expression)
    if found:
        raise ValueError(found)
    return expression
