"""JSON whose numbers stay what they were. Pure.

orjson reads ``18446744073709551617`` as a float and writes NaN as null; msgspec reads integers of any size, and is as
fast. What is no JSON, though Python and Celery write it (NaN, Infinity, half a surrogate pair), Python's own reader
takes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

MOST_DIGITS = 4300
"""A longer integer is none for Python (``sys.set_int_max_str_digits``)."""

_MINUS_ZERO = re.compile(rb"-0(?=[\s,\]}]|\Z)")


class Spelled(float):
    """A number that remembers how it was written."""

    __slots__ = ("text",)
    text: str


def spelled(text: str) -> Spelled:
    """The number that *text* writes."""
    number = Spelled(text)
    number.text = text
    return number


def _integer(text: str) -> int | Spelled:
    return spelled(text) if text == "-0" or len(text) > MOST_DIGITS else int(text)


_SPELLING = msgspec.json.Decoder(float_hook=spelled)
_SPELLING_LENIENTLY = json.JSONDecoder(parse_int=_integer, parse_float=spelled, parse_constant=spelled)
_PLAIN = msgspec.json.Decoder()
_PLAIN_LENIENTLY = json.JSONDecoder()
_STRICT = json.JSONEncoder(allow_nan=False, skipkeys=True, default=lambda value: _fields(value))


def read(text: bytes) -> Any:
    """The JSON value, in which a number is what it was: an int, or :class:`Spelled`.

    Takes what Python's ``json`` takes besides JSON. Raises ``ValueError``.
    """
    try:
        value = _SPELLING.decode(text)
        if b"-0" not in text or not _MINUS_ZERO.search(text):
            return value
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    return _leniently(_SPELLING_LENIENTLY, text)


def loads(text: bytes) -> Any:
    """The JSON value as Python's ``json`` gives it: exact integers, floats. Raises ``ValueError``."""
    try:
        return _PLAIN.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _leniently(_PLAIN_LENIENTLY, text)


def _leniently(decoder: json.JSONDecoder, text: bytes) -> Any:
    try:
        return decoder.decode(text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not valid UTF-8: {error.reason} (byte {error.start})") from None


def dumps(value: Any) -> bytes:
    """*value* as JSON text: a number as it was spelled, integers of any size, NaN as Python writes it, half a surrogate
    pair escaped; in the order it has.

    Raises ``TypeError`` for what JSON has no form for, ``ValueError`` for what is too deep or too long.
    """
    try:
        text = orjson.dumps(value)
        if b"null" not in text:
            return text
        _STRICT.encode(value)  # was it a NaN?
    except (RecursionError, TypeError, ValueError):
        return written(value).encode()
    return text


def readable(value: Any) -> bytes:
    """:func:`dumps` for people: what JSON has no form for stands there as text. It never raises."""
    try:
        return dumps(value)
    except (TypeError, ValueError):
        pass
    try:
        return written(value, foreign=said).encode()
    except (TypeError, ValueError):
        return orjson.dumps(said(value))


def utf8(text: str) -> str:
    """*text* with half surrogate pairs, which UTF-8 cannot hold, written as escapes: errors quote what they met."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def said(value: Any) -> str:
    """What *value*, an exception say, has to say; of one that cannot say it, what is known. It never raises."""
    try:
        return utf8(str(value))
    except Exception as error:
        return f"(it cannot say it: {type(error).__name__})"


def written(value: Any, *, ordered: bool = False, foreign: Callable[[Any], str] | None = None) -> str:
    """*value* as JSON text by :func:`dumps`'s rules. *ordered*: objects by their names, so that equal ones have one
    text. *foreign*: gives the text that stands for what JSON has no form for, names included.

    Raises as :func:`dumps` does.
    """
    try:
        return _Writer(ordered, foreign).text(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@dataclasses.dataclass(frozen=True)
class _Writer:
    ordered: bool
    foreign: Callable[[Any], str] | None

    def text(self, part: Any) -> str:
        if isinstance(part, dict):
            names = sorted(part) if self.ordered else part
            return "{" + ",".join(f"{_quoted(self._name(each))}:{self.text(part[each])}" for each in names) + "}"
        if isinstance(part, list | tuple):
            return "[" + ",".join(map(self.text, part)) + "]"
        if isinstance(part, float | int) and not isinstance(part, bool):
            return _number(part)
        if isinstance(part, str):
            return _quoted(part)
        return self._other(part)

    def _name(self, each: Any) -> str:
        if isinstance(each, str):
            return each
        if self.foreign is None:
            raise TypeError("Dict key must be str")
        return self.foreign(each)

    def _other(self, part: Any) -> str:
        if dataclasses.is_dataclass(part):
            return self.text(_fields(part))
        try:
            return orjson.dumps(part).decode()
        except TypeError:
            if self.foreign is None:
                raise
            return _quoted(self.foreign(part))


def _number(value: float) -> str:
    if isinstance(value, Spelled):
        return value.text
    if isinstance(value, int):
        return str(int(value))
    return orjson.dumps(float(value)).decode() if math.isfinite(value) else json.dumps(float(value))


def _quoted(text: str) -> str:
    try:
        return orjson.dumps(text).decode()
    except TypeError:  # half a surrogate pair
        return json.dumps(text)


def _fields(value: Any) -> dict[str, Any] | None:
    """What orjson writes of a dataclass; None of anything else."""
    if not dataclasses.is_dataclass(value):
        return None
    names = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
    return {name: getattr(value, name) for name in names}
