"""What a payload says: its JSON value, and selectors such as ``order_id`` or ``message.key``. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jmespath
import orjson
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from headrace.api.policy import PROPERTIES
from headrace.bridge.message import PoisonError
from headrace.process.exact_json import Spelled, read, written

Find = Callable[[Any, str | None, dict[str, str]], Any]
"""Takes the payload's JSON value, the message's key and properties; gives what is there, or None."""

Select = Callable[[Any, str | None, dict[str, str]], str]
"""Takes the payload's JSON value, the message's key and properties; raises ``PoisonError`` when nothing is there."""

_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
"""What Python writes where JSON has no number."""


class _ExactFunctions(Functions):
    """JMESPath's functions, for numbers that remember how they were written."""

    def _get_allowed_pytypes(self, types: Any) -> Any:
        allowed, inside = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        inside = [(*each, Spelled.__name__) if "float" in each else each for each in inside]
        return ([*allowed, Spelled.__name__] if "float" in allowed else allowed), inside

    def _convert_to_jmespath_type(self, pyobject: Any) -> Any:
        known = "float" if pyobject == Spelled.__name__ else pyobject
        return super()._convert_to_jmespath_type(known)  # type: ignore[misc]

    @signature({"types": []})
    def _func_to_string(self, arg: Any) -> str:
        if isinstance(arg, str):
            return arg
        # in ASCII, as JMESPath itself has it: the text may be a key
        return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in written(arg))


_OPTIONS = Options(custom_functions=_ExactFunctions())


def text_of(value: Any, *, ordered: bool = False) -> str | None:
    """A selected value as text: strings as they are, a number as it was written, the rest as JSON; None when there is
    none. *ordered*: objects by their names, so that equal ones have one text.

    Raises :class:`PoisonError` for what UTF-8 cannot hold.
    """
    if value is None:
        return None
    try:
        text = value if isinstance(value, str) else written(value, ordered=ordered)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        raise PoisonError("SelectorFailed", "a selector found half a surrogate pair, which is no text.") from None
    except (TypeError, ValueError) as error:
        raise PoisonError("SelectorFailed", f"a selector found what is not JSON: {error}.") from None
    return text


def key_of(value: Any) -> str | None:
    """A selected value as what identifies something; None when there is none. Raises :class:`PoisonError`."""
    text = text_of(value, ordered=True)
    if text in _NO_NUMBERS and not isinstance(value, str):
        raise PoisonError("KeyMissing", f"a selector found {text}, which identifies nothing.")
    return text


def parse_json(payload: bytes) -> Any:
    """The payload's JSON value, with numbers as they were written; raise :class:`PoisonError` when it is none."""
    try:
        return read(payload)
    except ValueError as error:
        raise PoisonError("InvalidJSON", f"the payload is not JSON: {error}.") from None


def parse_as_before(payload: bytes) -> Any:
    """The same for a cut by the rules 0: its messages must go where they went."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise PoisonError("InvalidJSON", f"the payload is not JSON: {error}.") from None


def needs_json(expression: str) -> bool:
    """Whether the selector looks into the payload."""
    return expression != "message.key" and not expression.startswith(PROPERTIES)


def finder(expression: str) -> Find:
    """The compiled expression. What it finds raises nothing but :class:`PoisonError`."""
    if expression == "message.key":
        return lambda _, key, __: key
    if expression.startswith(PROPERTIES):
        name = expression.removeprefix(PROPERTIES)
        return lambda _, __, properties: properties.get(name)
    tree = jmespath.compile(expression).parsed
    visit = TreeInterpreter(_OPTIONS).visit  # one for all messages: making it costs as much as most searches

    def find(payload: Any, _: str | None, __: dict[str, str]) -> Any:
        try:
            return visit(tree, payload)
        except Exception as error:  # P7: jmespath raises whatever Python does with values of a wrong type
            said = str(error).partition("\n")[0] or type(error).__name__
            raise PoisonError("SelectorFailed", f"{expression} fails: {said}") from None

    return find


def selector(expression: str, what: str) -> Select:
    """The compiled selector; *what* says in the dead letter what it was for."""
    find = finder(expression)

    def select(payload: Any, key: str | None, properties: dict[str, str]) -> str:
        value = key_of(find(payload, key, properties))
        if not value:
            raise PoisonError("KeyMissing", f"the message has no {expression}, which {what} needs.")
        return value

    return select
