"""What a payload says: its JSON value, and selectors such as ``order_id`` or ``message.key``. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
import jmespath.exceptions
import orjson

from headrace.bridge.message import PoisonError

PROPERTIES = "message.properties."

Select = Callable[[Any, str | None, dict[str, str]], str]
"""Takes the payload's JSON value, the message's key and properties; raises ``PoisonError`` when nothing is there."""


def canonical(value: Any) -> str | None:
    """A selected JSON value as text: strings as they are, the rest as JSON; None when there is none."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def parse_json(payload: bytes) -> Any:
    """The payload's JSON value; raise :class:`PoisonError` when it is none."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise PoisonError("InvalidJSON", f"the payload is not JSON: {error}.") from None


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

    def of_payload(payload: Any, _: str | None, __: dict[str, str]) -> str:
        try:
            return found(canonical(search(payload)))
        except jmespath.exceptions.JMESPathError as error:
            text = str(error).splitlines()[0]
            raise PoisonError("KeyMissing", f"{expression}, which {what} needs, fails: {text}") from None

    return of_payload
