"""Key, properties and event time of a message, selected from what it holds."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.message import Message
from headrace.bridge.record import converter
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.bridge.shape import milliseconds

T = Target("persistent://a/b/c", 0)


def shaped(payload: Any, **wanted: Any) -> Message:
    routing = Routing(T, T, EntryFormat.RAW, wanted.pop("key", None), "PulsarBridge/n/b", **wanted)
    return converter(Routing.parse(routing.to_wire()))(json.dumps(payload).encode())


@given(st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.timezones()))
def test_a_moment_is_read_back_whatever_its_offset(when: datetime) -> None:
    offset = when.utcoffset()
    if offset is None or offset.seconds % 60:
        return  # RFC 3339 has no seconds in an offset
    expected = int((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    assert abs(milliseconds(when.isoformat()) - expected) <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (1.9, 1), ("1970-01-01T00:00:00.001Z", 1), ("1970-01-01t00:00:01z", 1000)],
)
def test_moments_that_are_taken(value: Any, expected: int) -> None:
    assert milliseconds(value) == expected


@pytest.mark.parametrize("value", ["", "2024-11-21", "2024-11-21T16:00:00", "x", True, [], 0, -1, 2**63, 1e300])
def test_p7_moments_that_are_none_become_dead_letters(value: Any) -> None:
    message = shaped({"at": value}, event_time="at")
    assert message.reason == "EventTimeInvalid"
    assert message.properties is not None
    assert message.properties["HEADRACE_ERROR"].startswith("at is no time: ")


def test_what_is_missing_is_left_out() -> None:
    message = shaped({"a": None, "b": ""}, properties={"a": "a", "b": "b", "c": "c"}, event_time="at")
    assert (message.properties, message.event_time, message.reason) == ({"b": ""}, None, None)


@pytest.mark.parametrize("wanted", [{"key": "abs(id)"}, {"properties": {"p": "abs(id)"}}, {"event_time": "&id"}])
def test_p7_a_selector_that_meets_a_wrong_type_is_told(wanted: dict[str, Any]) -> None:
    reason = shaped({"id": "x"}, **wanted).reason
    assert reason == ("EventTimeInvalid" if "event_time" in wanted else "SelectorFailed")


@pytest.mark.parametrize("wanted", [{"key": "@"}, {"properties": {"a": "id", "b": "id"}}])
def test_p7_metadata_that_no_chunk_could_hold_stays_out_of_the_dead_letter(wanted: dict[str, Any]) -> None:
    message = shaped({"id": "x" * 40_000, "more": "y" * 30_000}, **wanted)
    assert (message.reason, message.key) == ("MetadataTooLarge", None)
    assert len(message.payload) > 70_000
