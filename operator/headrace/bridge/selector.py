"""What a payload says: its JSON value, and selectors such as ``order_id`` or ``message.key``. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from headrace.api.policy import PROPERTIES
from headrace.bridge.message import PoisonError

Find = Callable[[Any, str | None, dict[str, str]], Any]
"""Takes the payload's JSON value, the message's key and properties; gives what is there, or None."""

Select = Callable[[Any, str | None, dict[str, str]], str]
"""Takes the payload's JSON value, the message's key and properties; raises ``PoisonError`` when nothing is there."""


def canonical(value: Any) -> str | None:
    """A selected JSON value as text: strings as they are, the rest as JSON; None when there is none."""
    if value is None or isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise PoisonError("SelectorFailed", f"a selector found what is not JSON: {error}.") from None


def parse_json(payload: bytes) -> Any:
    """The payload's JSON value; raise :class:`PoisonError` when it is none."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise PoisonError("InvalidJSON", f"the payload is not JSON: {error}.") from None


def needs_json(expression: str) -> bool:
    """Whether the selector looks into the payload."""
    return expression != "message.key" and not expression.startswith(PROPERTIES)


def finder(expression: str) -> Find:
    """The compiled expression."""
    if expression == "message.key":
        return lambda _, key, __: key
    if expression.startswith(PROPERTIES):
        name = expression.removeprefix(PROPERTIES)
        return lambda _, __, properties: properties.get(name)
    search = jmespath.compile(expression).search

    def find(payload: Any, _: str | None, __: dict[str, str]) -> Any:
        try:
            return search(payload)
        except JMESPathError as error:  # a function that was given a value of a wrong type
            raise PoisonError("SelectorFailed", f"{expression} fails: {str(error).splitlines()[0]}") from None

    return find


def selector(expression: str, what: str) -> Select:
    """The compiled selector; *what* says in the dead letter what it was for."""
    find = finder(expression)

    def select(payload: Any, key: str | None, properties: dict[str, str]) -> str:
        value = canonical(find(payload, key, properties))
        if not value:
            raise PoisonError("KeyMissing", f"the message has no {expression}, which {what} needs.")
        return value

    return select
