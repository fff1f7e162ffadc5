"""Selectors such as ``order_id`` or ``message.key``, compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath

from headrace.bridge.record import PoisonError, canonical

PROPERTIES = "message.properties."

Select = Callable[[Any, str | None, dict[str, str]], str]
"""Takes the payload's JSON value, the message's key and properties; raises ``PoisonError`` when nothing is there."""


def needs_json(expression: str) -> bool:
    """Whether the selector looks into the payload."""
    return expression != "message.key" and not expression.startswith(PROPERTIES)


def selector(expression: str, what: str) -> Select:
    """The compiled selector; *what* says in the dead letter what it was for."""

    def found(value: str | None) -> str:
        if not value:
            raise PoisonError("KeyMissing", f"the message has no {expression}, which {what} needs.")
        return value

    if expression == "message.key":
        return lambda _, key, __: found(key)
    if expression.startswith(PROPERTIES):
        name = expression.removeprefix(PROPERTIES)
        return lambda _, __, properties: found(properties.get(name))
    search = jmespath.compile(expression).search
    return lambda payload, _, __: found(canonical(search(payload)))
