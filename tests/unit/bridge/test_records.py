"""List entries become messages, dead letters carry their reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.entry import decoded
from headrace.bridge.record import converter
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.bridge.selector import needs_json, selector

T = Target("persistent://a/b/c", 0)


def routing(format_: EntryFormat = EntryFormat.OUTBOX, **changes: Any) -> Routing:
    return Routing(T, T, format_, changes.pop("key", None), "PulsarBridge/n/b", **changes)


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ([], "the outbox record is not a JSON object."),
        ({"type": "Result"}, "an outbox record has one of payload and payloadBase64."),
        (
            {"type": "Result", "payload": 1, "payloadBase64": ""},
            "an outbox record has one of payload and payloadBase64.",
        ),
        ({"type": "Result", "payloadBase64": "%"}, "payloadBase64 of an outbox record is not base64."),
        (
            {"type": "Result", "payload": 1, "key": 3},
            "in an outbox record key is a string and eventTimeMillis a number.",
        ),
        (
            {"type": "Result", "payload": 1, "eventTimeMillis": -1},
            "eventTimeMillis of an outbox record lies out of range.",
        ),
        ({"type": "Result", "payload": 1, "properties": {"a": 1}}, "properties is an object of strings."),
        ({"type": "RetryLetter", "payload": 1}, "a RetryLetter in an outbox has deliverAtMillis, a number."),
        ({"type": "Else", "payload": 1}, "the type of an outbox record is Result, RetryLetter or DeadLetter."),
    ],
)
def test_p7_an_invalid_outbox_record_is_kept_as_it_came(record: Any, error: str) -> None:
    entry = json.dumps(record).encode()
    message = converter(routing())(entry)
    assert (message.reason, message.payload) == ("InvalidRecord", entry)
    assert message.properties is not None
    assert message.properties["HEADRACE_ERROR"].endswith(error)


def test_a_result_without_anything_else_is_enough() -> None:
    message = converter(routing())(b'{"type": "Result", "payload": null}')
    assert (message.payload, message.key, message.reason) == (b"null", None, None)


@pytest.mark.parametrize(("size", "reason"), [(8_000, None), (10_000, "MessageTooLarge")])
def test_the_limit_leaves_room_for_metadata(size: int, reason: str | None) -> None:
    entry = b"x" * size
    message = converter(routing(EntryFormat.RAW, limit_bytes=10_000))(entry)
    assert (message.reason, message.payload) == (reason, entry)


@pytest.mark.parametrize(("value", "key"), [('"a"', "a"), ("7", "7"), ('{"b": 1, "a": 2}', '{"a":2,"b":1}')])
def test_keys_are_text(value: str, key: str) -> None:
    assert converter(routing(EntryFormat.RAW, key="id"))(f'{{"id": {value}}}'.encode()).key == key


@pytest.mark.parametrize("value", ["null", '""'])
def test_p7_an_empty_key_is_missing(value: str) -> None:
    assert converter(routing(EntryFormat.RAW, key="id"))(f'{{"id": {value}}}'.encode()).reason == "KeyMissing"


def test_selectors_reach_payload_key_and_properties() -> None:
    message: Any = ({"order": {"id": 5}}, "k", {"tenant": "x"})
    assert selector("order.id", "cache")(*message) == "5"
    assert selector("message.key", "cache")(*message) == "k"
    assert selector("message.properties.tenant", "cache")(*message) == "x"
    assert [needs_json(each) for each in ("order.id", "message.key", "message.properties.a")] == [True, False, False]


def row(*parts: bytes) -> bytes:
    """As take_stream.lua writes an entry."""
    identity, *rest = parts
    return b" ".join([identity, *(b"%d" % len(part) for part in rest)]) + b"\n" + b"".join(rest)


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_an_entry_of_a_stream_is_read_back_whatever_its_bytes(pairs: list[tuple[bytes, bytes]]) -> None:
    assert decoded(row(b"1-2", *(part for pair in pairs for part in pair))) == ("1-2", pairs)


def test_p7_an_entry_of_a_stream_that_is_no_text_is_kept_whole() -> None:
    message = converter(routing(EntryFormat.FIELDS))(row(b"7-0", b"name", b"x", b"blob", b"\xff"))
    assert message.reason == "InvalidRecord"
    kept = {"id": "7-0", "fields": [["name", "x"], ["blob", {"base64": "/w=="}]]}
    assert json.loads(message.payload) == kept


def test_the_key_of_an_entry_is_looked_for_in_its_payload() -> None:
    fields = row(b"7-0", b"body", b'{"id": 5}', b"shop", b"9")
    message = converter(routing(EntryFormat.FIELDS, key="id", payload_field="body"))(fields)
    assert (message.payload, message.key) == (b'{"id": 5}', "5")
    assert message.properties == {"VALKEY_STREAM_ID": "7-0", "shop": "9"}
    assert converter(routing(EntryFormat.FIELDS, key="shop"))(fields).key == "9"


def test_a_trace_passes_and_stays_with_a_dead_letter() -> None:
    trace = {"traceparent": "00-a", "tracestate": "b=1"}
    entry = row(b"7-0", b"id", b"5", *(part.encode() for pair in trace.items() for part in pair))
    assert converter(routing(EntryFormat.FIELDS))(entry).properties == {"VALKEY_STREAM_ID": "7-0", **trace}
    bad = converter(routing(EntryFormat.FIELDS, key="missing"))(entry)
    assert (bad.reason, trace.items() <= (bad.properties or {}).items()) == ("KeyMissing", True)
    selected = {name: name for name in trace}
    bad = converter(routing(EntryFormat.RAW, key="missing", properties=selected))(json.dumps(trace).encode())
    assert (bad.reason, trace.items() <= (bad.properties or {}).items()) == ("KeyMissing", True)
