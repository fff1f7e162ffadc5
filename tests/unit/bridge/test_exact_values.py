"""What is selected, keyed or passed on stays what it was, and whatever an entry holds, there is a message or a dead
letter."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.bridge_sink import Envelope
from headrace.bridge.message import Message, PoisonError
from headrace.bridge.record import converter, sealer
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.bridge.selector import finder, selector, text_of
from headrace.process.exact_json import read
from tests.unit import json_text

T = Target("persistent://a/b/c", 7)
EXAMPLES = Path(__file__).parents[3] / "examples"


def convert(entry: bytes, format_: EntryFormat = EntryFormat.RAW, **wanted: Any) -> Message:
    routing = Routing(T, T, format_, wanted.pop("key", None), "PulsarBridge/n/b", **wanted)
    return converter(routing if "rules" in wanted else Routing.parse(routing.to_wire()))(entry)


@given(json_text.numbers)
def test_p1_a_number_is_selected_as_it_was_written(text: str) -> None:
    entry = f'{{"id": {text}, "items": [{{"price": {text}}}]}}'.encode()
    message = convert(entry, key="id", properties={"price": "items[0].price", "whole": "items"})
    assert (message.payload, message.reason) == (entry, None)
    assert message.key == text
    assert message.properties == {"price": text, "whole": f'[{{"price":{text}}}]'}


@given(json_text.numbers, json_text.numbers)
def test_p1_two_numbers_are_never_one_key(one: str, other: str) -> None:
    keys = [selector("id", "deduplicate")(read(f'{{"id": {text}}}'.encode()), None, {}) for text in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_p1_numbers_that_a_float_cannot_tell_apart_are_two_keys() -> None:
    keys = {convert(b'{"id": %s}' % text, key="id").key for text in (b"18446744073709551617", b"18446744073709551618")}
    assert keys == {"18446744073709551617", "18446744073709551618"}


def test_an_object_is_one_key_in_any_order_and_a_property_as_it_came() -> None:
    one, other = (
        convert(text, key="id", properties={"id": "id"})
        for text in (b'{"id":{"b":1.0,"a":2}}', b'{"id":{"a":2,"b":1.0}}')
    )
    assert (one.key, other.key) == ('{"a":2,"b":1.0}',) * 2
    assert (one.properties, other.properties) == ({"id": '{"b":1.0,"a":2}'}, {"id": '{"a":2,"b":1.0}'})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_p7_what_is_no_number_passes_and_identifies_nothing(text: str) -> None:
    entry = f'{{"id": 7, "x": {text}}}'.encode()
    passes = convert(entry, key="id", properties={"x": "x"})
    assert (passes.payload, passes.key, passes.properties) == (entry, "7", {"x": text})
    assert convert(entry, key="x").reason == "KeyMissing"
    assert convert(b'{"x": "%s"}' % text.encode(), key="x").key == text
    assert convert(b'{"x": "nan"}', key="to_number(x)").reason == "KeyMissing"


def test_p7_half_a_surrogate_pair_passes_and_is_no_text() -> None:
    entry = b'{"id": 7, "x": "\\ud800", "\\udfff": [1.10]}'
    assert (convert(entry, key="id").payload, convert(entry, key="id").key) == (entry, "7")
    for wanted in ({"key": "x"}, {"properties": {"x": "x"}}, {"key": "abs(x)"}):
        bad = convert(entry, **wanted)
        assert (bad.payload, bad.reason) == (entry, "SelectorFailed")
        assert all(text.encode() for text in (bad.properties or {}).values())
    assert convert(entry, properties={"all": "@"}).properties == {"all": '{"id":7,"x":"\\ud800","\\udfff":[1.10]}'}


@pytest.mark.parametrize(
    ("expression", "payload", "expected"),
    [
        ("sum(items[].n)", b'{"items": [{"n": 18446744073709551617}, {"n": 1}]}', "18446744073709551618"),
        ("to_number(id)", b'{"id": "18446744073709551617"}', "18446744073709551617"),
        ("to_number(id)", b'{"id": 1.10}', "1.10"),
        ("to_string(@)", b'{"id": 1.10, "a": "\xc3\xa9"}', '{"id":1.10,"a":"\\u00e9"}'),
        ("to_string(id)", b'{"id": 1e2}', "1e2"),
        ("max(items)", b'{"items": [1.5, 1.50, 2.10]}', "2.10"),
        ("max_by(items, &n).n", b'{"items": [{"n": 1}, {"n": 2.50}]}', "2.50"),
        ("sort_by(items, &n)[0].n", b'{"items": [{"n": 3.0}, {"n": 2.50}]}', "2.50"),
        ("sort(items)[0]", b'{"items": [3.0, 2.50]}', "2.50"),
        ("items[?n > `1.2`].n | [0]", b'{"items": [{"n": 1.10}, {"n": 1.30}]}', "1.30"),
        (
            "@[?n == `18446744073709551617`].i",
            b'[{"n": 18446744073709551618}, {"n": 18446744073709551617, "i": 2}]',
            "[2]",
        ),
        ("abs(n)", b'{"n": -1.10}', "1.1"),
        ("type(n)", b'{"n": 1.10}', "number"),
        ("ceil(n)", b'{"n": 1.10}', "2"),
        ("avg([n, `2`])", b'{"n": 1.00}', "1.5"),
        ("join('-', [to_string(a), to_string(b)])", b'{"a": 1.0, "b": 2e1}', "1.0-2e1"),
        ("{a: n}", b'{"n": 1.0}', '{"a":1.0}'),
    ],
)
def test_jmespath_counts_with_numbers_as_ever(expression: str, payload: bytes, expected: str) -> None:
    assert text_of(finder(expression)(read(payload), None, {})) == expected


POISON = [
    ("items[?qty > `0`].id | [0]", b'{"items": [{"id": 1, "qty": "5"}]}'),
    ("ceil(to_number(a))", b'{"a": "inf"}'),
    ("to_string(@)", b"[" * 900 + b"]" * 900),
    ("items[::0]", b'{"items": [1]}'),
    ("to_number(a)", b'{"a": "%s"}' % (b"9" * 5000)),
    ("floor(a)", b'{"a": 1e400}'),
    ("sort_by(@, &a)", b'[{"a": 1}, {"a": "x"}]'),
    ("sum(@)", b'[1, "x"]'),
    ("join(',', a)", b'{"a": [1]}'),
]


@pytest.mark.parametrize(("expression", "payload"), POISON)
def test_p7_whatever_a_selector_raises_is_one_dead_letter(expression: str, payload: bytes) -> None:
    for wanted in ({"key": expression}, {"properties": {"p": expression}}, {"event_time": expression}):
        message = convert(payload, **wanted)
        assert message.payload == payload
        assert message.reason in (None, "SelectorFailed", "KeyMissing", "EventTimeInvalid", "InvalidJSON")


def selectors() -> list[str]:
    """Those of the examples, those that once raised, and some that look at everything."""
    found = {"@", "items[*].price", "keys(@)", "values(@)[0]", *(expression for expression, _ in POISON)}
    for path in EXAMPLES.rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            spec = (document or {}).get("spec", {})
            sink = spec.get("sink", {})
            pulsar = sink.get("pulsar", {})
            parts = [spec.get("deduplicate", {}), spec.get("cache", {}), pulsar, pulsar.get("properties", {})]
            parts.append(sink.get("valkey", {}).get("hash", {}))
            names = {"key", "eventTime", "field", *pulsar.get("properties", {})}
            found |= {part[name] for part in parts for name in names if isinstance(part.get(name), str)}
    return sorted(found)


@given(st.sampled_from(selectors()), st.one_of(json_text.python_texts.map(str.encode), st.binary(max_size=40)))
def test_p7_a_selector_finds_something_or_says_why_not(expression: str, payload: bytes) -> None:
    try:
        value = read(payload)
    except ValueError:
        value = None
    for select in (selector(expression, "cache"), lambda *found: text_of(finder(expression)(*found))):
        try:
            (select(value, None, {}) or "").encode()
        except PoisonError as poison:
            told = poison.reason, str(poison).encode()
            assert told[0] in ("SelectorFailed", "KeyMissing")


@given(
    st.sampled_from(EntryFormat),
    st.sampled_from(selectors()),
    st.one_of(json_text.python_texts.map(str.encode), st.binary(max_size=60)),
    st.sampled_from([0, 1]),
)
def test_p7_every_entry_becomes_a_message_or_a_dead_letter(
    format_: EntryFormat, expression: str, entry: bytes, rules: int
) -> None:
    if format_ is EntryFormat.FIELDS:
        entry = b"7-0 1 %d\na%b" % (len(entry), entry)
    elif format_ is EntryFormat.PUBLISHED:
        entry = b"1:c" + entry
    wanted: dict[str, Any] = (
        {} if format_ is EntryFormat.OUTBOX else {"key": expression, "properties": {"p": expression}}
    )
    message = convert(entry, format_, rules=rules, **wanted)
    for text in (message.key or "", *(message.properties or {}), *(message.properties or {}).values()):
        text.encode()


RECORD = '{"type": "Result", "payload": %s, "key": "k"}'


@given(json_text.texts)
def test_p1_the_payload_of_an_outbox_record_passes_byte_for_byte(text: str) -> None:
    message = convert((RECORD % text).encode(), EntryFormat.OUTBOX)
    assert (message.payload, message.key, message.reason) == (text.strip(" \n").encode(), "k", None)


@given(json_text.python_texts)
def test_p1_what_python_writes_besides_json_passes_an_outbox_too(text: str) -> None:
    message = convert((RECORD % text).encode(), EntryFormat.OUTBOX)
    assert message.reason is None
    assert json.dumps(json.loads(message.payload)) == json.dumps(json.loads(text))


@pytest.mark.parametrize("given", ['"key":"\\ud800"', '"properties":{"a":"\\ud800"}', '"properties":{"\\ud800":"a"}'])
def test_p7_half_a_surrogate_pair_in_key_or_properties_of_a_record_is_told(given: str) -> None:
    record = f'{{"type":"Result","payload":1,{given}}}'
    message = convert(record.encode(), EntryFormat.OUTBOX)
    assert (message.reason, message.payload) == ("InvalidRecord", record.encode())


def test_p7_an_error_that_quotes_half_a_surrogate_pair_is_readable() -> None:
    letter = convert(b'{"type":"DeadLetter","payload":1,"reason":"TaskFailed","error":"\\ud800"}', EntryFormat.OUTBOX)
    assert (letter.properties or {})["HEADRACE_ERROR"] == "\\ud800"


def row(*parts: bytes) -> bytes:
    return b" ".join([b"7-0", *(b"%d" % len(part) for part in parts)]) + b"\n" + b"".join(parts)


@pytest.mark.parametrize("payload_field", [None, "a", "b"])
def test_p1_a_field_that_stands_in_an_entry_twice_is_a_dead_letter_with_both(payload_field: str | None) -> None:
    entry = row(b"a", b"1", b"b", b"x", b"a", b"2")
    message = convert(entry, EntryFormat.FIELDS, payload_field=payload_field)
    assert message.reason == "InvalidRecord"
    assert "the field a more than once" in (message.properties or {})["HEADRACE_ERROR"]
    assert json.loads(message.payload) == {"id": "7-0", "fields": [["a", "1"], ["b", "x"], ["a", "2"]]}
    empty = convert(row(b"", b"1", b"", b"\xff"), EntryFormat.FIELDS, payload_field=payload_field)
    assert json.loads(empty.payload)["fields"] == [["", "1"], ["", {"base64": "/w=="}]]


def test_p1_a_field_with_the_name_of_the_entry_s_id_stays_beside_it() -> None:
    again = "message.properties.VALKEY_STREAM_ID"
    entry = row(b"p", b"1", b"VALKEY_STREAM_ID", b"no id", again.encode(), b"1-1")
    for envelope in ("Raw", "JSON"):
        message = convert(entry, EntryFormat.FIELDS, payload_field="p", envelope=envelope)
        assert message.properties == {"VALKEY_STREAM_ID": "7-0", again: "1-1", f"message.properties.{again}": "no id"}


def test_p7_a_stream_s_id_among_the_properties_of_a_record_is_one_property_of_many() -> None:
    record = b'{"type":"Result","payload":1,"properties":{"VALKEY_STREAM_ID":"no id"}}'
    routing = Routing(T, T, EntryFormat.OUTBOX, None, "PulsarBridge/n/b", envelope=Envelope.JSON)
    seal = sealer(routing, 5)
    assert seal is not None
    sealed = json.loads(seal(converter(routing)(record), 7).payload)
    assert (sealed["id"], sealed["properties"]) == ("5-7", {"VALKEY_STREAM_ID": "no id"})


def test_p2_a_cut_of_an_older_version_goes_where_it_went() -> None:
    routing = Routing(T, T, EntryFormat.RAW, "id", "PulsarBridge/n/b", properties={"p": "o"})
    stored = json.loads(routing.to_wire())
    del stored["rules"]
    before = converter(Routing.parse(json.dumps(stored).encode()))
    message = before(b'{"id": 1.10, "o": {"b": 1e2, "a": 1}}')
    assert (message.key, message.properties) == ("1.1", {"p": '{"a":1,"b":100.0}'})
    assert before(b'{"id": 1, "x": NaN}').reason == "InvalidJSON"
    assert before(b'{"id": 18446744073709551617}').key == "1.8446744073709552e+19"
    old = json.dumps({**stored, "format": "Fields", "key": None, "properties": {}}).encode()
    assert converter(Routing.parse(old))(row(b"a", b"1", b"a", b"2")).payload == b'{"a":"2"}'
    old = json.dumps({**stored, "format": "Outbox", "key": None, "properties": {}}).encode()
    record = converter(Routing.parse(old))
    assert record(b'{"type":"Result","payload":1e2}').payload == b"100.0"
    assert record(b'{"type":"Result","payload":NaN}').reason == "InvalidRecord"
