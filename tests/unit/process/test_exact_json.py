"""JSON goes through Headrace as it came."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.process.exact_json import dumps, loads, read, readable, written
from tests.unit import json_text


def same(one: Any, other: Any) -> bool:
    """Equal, NaN included."""
    return json.dumps(one) == json.dumps(other)


@given(json_text.python_texts)
def test_a_text_is_read_as_python_reads_it(text: str) -> None:
    expected = json.loads(text)
    assert same(loads(text.encode()), expected)
    assert json.dumps(read(text.encode())).replace("-0.0", "0").replace("-0", "0") == json.dumps(expected).replace(
        "-0.0", "0"
    ).replace("-0", "0")


@given(json_text.numbers)
def test_a_number_keeps_its_spelling(text: str) -> None:
    assert written(read(text.encode())) == text
    assert written(read(f'{{"a":[{text}]}}'.encode())) == f'{{"a":[{text}]}}'


@given(json_text.numbers, json_text.numbers)
def test_two_spellings_never_become_one(one: str, other: str) -> None:
    assert (written(read(one.encode())) == written(read(other.encode()))) == (one == other)


@pytest.mark.parametrize("text", ["1" * 5000, f"-{'9' * 4301}", "1e400", "-0", "-0.0", "1E5", "NaN", "-Infinity"])
def test_a_number_that_is_none_for_python_keeps_its_spelling_too(text: str) -> None:
    assert written(read(text.encode())) == text
    assert written(read(f'{{"a": {text}\n, "b": "-0"}}'.encode())) == f'{{"a":{text},"b":"-0"}}'


@given(json_text.python_texts)
def test_what_is_written_is_read_back(text: str) -> None:
    value = json.loads(text)
    assert same(json.loads(dumps(value)), value)
    assert same(loads(dumps(read(text.encode()))), value)
    dumps(value).decode()
    assert same(json.loads(readable(value)), value)


@given(json_text.texts)
def test_an_order_is_kept_unless_another_one_is_asked_for(text: str) -> None:
    value = json.loads(text)
    assert list(json.loads(dumps(value))) == list(value) if isinstance(value, dict) else True
    assert json.loads(written(value, ordered=True)) == value
    if isinstance(value, dict):
        assert written(dict(reversed(value.items())), ordered=True) == written(value, ordered=True)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"1 2", b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf1", b"01", b"[" * 5000, b"1."]
)
def test_what_is_no_json_is_told(text: bytes) -> None:
    for reader in (read, loads):
        with pytest.raises(ValueError):
            reader(text)


@dataclass
class Order:
    number: int
    price: float = 1.5
    _hidden: int = 0


class Colour(Enum):
    RED = "red"


def test_python_s_own_types_are_written_whatever_stands_beside_them() -> None:
    when = datetime(2026, 11, 21, tzinfo=UTC)
    for beside, text in ((1, "1"), (2**70, str(2**70)), (math.nan, "NaN"), ("\ud800", '"\\ud800"')):
        value = [Order(7), Colour.RED, when, (True, None), beside]
        expected = f'[{{"number":7,"price":1.5}},"red","2026-11-21T00:00:00+00:00",[true,null],{text}]'
        assert dumps(value).decode() == expected
    assert dumps(Order(2**70, math.inf)) == b'{"number":%d,"price":Infinity}' % 2**70


class Mute:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("value", [{1: 2}, {1}, b"x", Mute(), [2**70, object()], [10**5000], {(1, 2): [Mute()]}])
def test_what_has_no_form_in_json_is_told_or_made_readable(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value)
    json.loads(readable(value))


def test_what_holds_itself_is_told() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="nested too deeply"):
        dumps(ring)
    assert readable(ring)


@given(st.recursive(st.one_of(st.none(), st.floats(), st.integers(), st.text(st.characters())), st.lists))
def test_no_value_of_python_changes_in_silence(value: Any) -> None:
    assert same(json.loads(dumps(value)), value)
