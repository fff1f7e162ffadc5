"""Pure parts of the transport."""

import json

import pytest

from headrace.celery.transport.keys import Keys, Push, parts_of, tag_of
from headrace.celery.transport.letter import Refusal, record_of
from headrace.celery.transport.message import marked, payload_of
from headrace.celery.transport.settlement import Kind, Settlement, Settlements, arguments

OWNER = "0123456789abcdef"


def entry(**headers: object) -> bytes:
    properties = {"delivery_tag": "x", "delivery_info": {"exchange": "", "routing_key": "q"}}
    return json.dumps({"body": "", "headers": headers, "properties": properties}).encode()


def test_a_tag_says_who_holds_the_message() -> None:
    assert parts_of(tag_of(OWNER, 7)) == (OWNER, 7)


@pytest.mark.parametrize("tag", ["5", "a-b-c:1", f"{OWNER}:", f"{OWNER}:x", f"{OWNER}:1:2", ""])
def test_tags_of_other_brokers_are_told_apart(tag: str) -> None:
    assert parts_of(tag) is None


def test_a_packed_record_tells_its_parts_by_their_lengths() -> None:
    assert Push("lä", b'{"a:1"}', "m:k", 60).packed() == "3:lä3:m:k2:60".encode() + b'{"a:1"}'
    assert Push("l", b"r").packed() == b"1:l0:1:0r"


def test_settlements_go_to_the_script_by_kind_and_in_order() -> None:
    settlements = Settlements()
    push = Push("l", b"r", "m", 60)
    told = [
        Settlement(Kind.DONE, 1),
        Settlement(Kind.BACK, 2),
        Settlement(Kind.DONE, 3, push),
        Settlement(Kind.RETURNED, 5),
        Settlement(Kind.DONE, 4),
    ]
    for one in told:
        settlements.add(one)
    assert settlements.numbers() == [1, 2, 3, 5, 4]
    taken = settlements.take()
    assert not settlements
    assert arguments(taken) == [2, 1, 1, 1, 1, 4, 3, "l", b"r", "m", 60, 2, 5]
    settlements.add(Settlement(Kind.DONE, 6))
    settlements.put_back(taken)
    assert settlements.numbers() == [1, 2, 3, 5, 4, 6]


def test_a_first_delivery_does_not_show_what_was_true_of_the_message_it_was_made_of() -> None:
    payload = marked(payload_of(entry(**{"x-delivery-count": 3})), "t:1", 0)
    assert payload["headers"] == {}
    assert payload["properties"]["delivery_tag"] == "t:1"
    assert "redelivered" not in payload["properties"]["delivery_info"]


def test_a_later_delivery_says_so() -> None:
    payload = marked(payload_of(entry()), "t:1", 2)
    assert payload["headers"] == {"x-delivery-count": 2}
    assert payload["properties"]["delivery_info"]["redelivered"] is True


def test_what_kombu_writes_with_types_is_read_with_them() -> None:
    at = {"__type__": "datetime", "__value__": "2026-01-02T03:04:05"}
    assert str(payload_of(entry(at=at))["headers"]["at"]) == "2026-01-02 03:04:05"


@pytest.mark.parametrize(("raw", "body"), [(b"text", {"payload": "text"}), (b"\xff", {"payloadBase64": "/w=="})])
def test_a_dead_letter_has_the_message_as_it_was(raw: bytes, body: dict[str, str]) -> None:
    record = record_of(Refusal("q", raw, "InvalidRecord", "why", 1), 5)
    assert body.items() <= record.items()
    assert (record["type"], record["queue"], record["eventTimeMillis"]) == ("DeadLetter", "q", 5)


def test_each_owner_has_keys_of_its_own() -> None:
    keys = Keys("p")
    assert keys.unacked(OWNER) == f"p:unacked:{OWNER}" == keys.unacked_of + OWNER
    assert keys.staged(OWNER) == f"p:staged:{OWNER}" == keys.staged_of + OWNER
