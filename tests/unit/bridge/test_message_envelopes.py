"""Envelopes keep everything of a message, byte for byte, and are the same each time they are made."""

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

import pulsar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.bridge_sink import Envelope
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.bridge.cut import Cut
from headrace.bridge.frame import frames
from headrace.bridge.headers import Headers
from headrace.bridge.message_envelope import moment, seal
from headrace.bridge.preparation import preparer
from headrace.bridge.pulsar_library import MessageId
from headrace.bridge.routing import EntryFormat, Routing, Target

TOPIC = "persistent://shop/orders/events"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MADE = 1_732_204_800_123
SEALED = [Envelope.JSON, Envelope.CLOUD_EVENTS]

properties = st.dictionaries(st.text(min_size=1), st.text(), max_size=4)
payloads = st.binary() | st.sampled_from(
    [b'{"a": 1e2}', b"null", b'"\xc3\xa9"', b" [1]\n", b"[12345678901234567890123]"]
)


def sealed(envelope: Envelope, *message: Any) -> Any:
    make = seal(envelope)
    assert make is not None
    return json.loads(make(*message))


@given(payloads, properties, st.none() | st.text(min_size=1), st.integers(0, 2**64 - 1))
def test_p1_nothing_of_a_message_is_lost_in_its_envelope(
    payload: bytes, found: dict[str, str], key: str | None, time: int
) -> None:
    whole = sealed(Envelope.JSON, "7", "here", time, key, found, payload)
    assert (whole["id"], whole["source"], whole["key"], whole["properties"]) == ("7", "here", key, found)
    event = sealed(Envelope.CLOUD_EVENTS, "7", "here", time, key, found, payload)
    assert (event["specversion"], event["id"], event["source"], event.get("subject")) == ("1.0", "7", "here", key)
    assert event["type"] == (found.get("type") or "dev.headrace.message")
    for value, encoded in ((whole, "payloadBase64"), (event, "data_base64")):
        plain = encoded.removesuffix("Base64").removesuffix("_base64")
        assert (plain in value) != (encoded in value)
        if encoded in value:
            assert base64.b64decode(value[encoded]) == payload
        else:
            assert value[plain] == json.loads(payload)
    assert ("data" in event) == (event["datacontenttype"] == "application/json")
    assert (whole["time"] is None) == ("time" not in event)


def test_the_payload_stands_in_its_envelope_byte_for_byte() -> None:
    for envelope in SEALED:
        make = seal(envelope)
        assert make is not None
        assert b'{"n": 1.00,  "large": 12345678901234567890123}' in make(
            "1", "s", 0, None, {}, b'{"n": 1.00,  "large": 12345678901234567890123}'
        )


def test_a_cloud_event_takes_the_properties_whose_names_it_allows() -> None:
    found = {"traceparent": TRACE, "type": "shop.order", "id": "not this", "Tenant": "x", "data": "nor this"}
    assert sealed(Envelope.CLOUD_EVENTS, "7-0", "PulsarBridge/n/b", MADE, "é", found, b'{"n": 1}') == {
        "specversion": "1.0",
        "id": "7-0",
        "source": "PulsarBridge/n/b",
        "type": "shop.order",
        "subject": "é",
        "time": "2024-11-21T16:00:00.123Z",
        "datacontenttype": "application/json",
        "traceparent": TRACE,
        "data": {"n": 1},
    }


def test_moments() -> None:
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    assert moment(2**64 - 1) is None


def cut(envelope: Envelope, entries: list[bytes], format_: EntryFormat = EntryFormat.RAW, **changes: Any) -> Cut:
    target, dead = Target("persistent://a/b/c", 3), Target("persistent://a/b/c-DLQ", 0)
    routing = Routing(target, dead, format_, None, "PulsarBridge/n/b", envelope=envelope, **changes)
    return Cut(41, routing, MADE, False, entries)


@pytest.mark.parametrize("envelope", SEALED)
def test_p2_a_replayed_cut_has_the_same_envelopes(envelope: Envelope) -> None:
    made = cut(envelope, [b"\xff", b'{"n": 1}'])
    parts = frames(made)
    assert parts == frames(replace(made, routing=Routing.parse(made.routing.to_wire()), pending=True))
    found = [json.loads(message.payload) for part in parts for _, message in part.messages]
    assert [each["id"] for each in found] == [f"{MADE}-41", f"{MADE}-42"]
    assert {each["time"] for each in found} == {moment(MADE)}


def test_a_cut_of_a_version_without_envelopes_stays_raw() -> None:
    body = json.loads(cut(Envelope.RAW, []).routing.to_wire())
    del body["envelope"]
    assert Routing.parse(json.dumps(body).encode()).envelope is Envelope.RAW


def test_an_entry_of_a_stream_keeps_its_id_and_time() -> None:
    row = b"7-1 4 1 11 %d\nbodyxtraceparent%s" % (len(TRACE), TRACE.encode())
    [part] = frames(cut(Envelope.CLOUD_EVENTS, [row], EntryFormat.FIELDS, payload_field="body"))
    [(_, message)] = part.messages
    event = json.loads(message.payload)
    assert (event["id"], event["time"], event["traceparent"]) == ("7-1", "1970-01-01T00:00:00.007Z", TRACE)
    assert event["data_base64"] == "eA=="
    assert message.properties == {
        "VALKEY_STREAM_ID": "7-1",
        "traceparent": TRACE,
        "content-type": "application/cloudevents+json",
    }


def test_p7_dead_letters_have_no_envelope() -> None:
    small, large = (
        b'{"type": "DeadLetter", "payloadBase64": "/w=="}',
        b'{"type": "Result", "payload": "%s"}' % (b"x" * 900),
    )
    made = cut(Envelope.JSON, [small, large], EntryFormat.OUTBOX, limit_bytes=2000)
    found = [(message.reason, message.payload) for part in frames(made) for _, message in part.messages]
    assert found == [("TaskFailed", b"\xff"), ("MessageTooLarge", b'"' + b"x" * 900 + b'"')]
    assert frames(cut(Envelope.RAW, [b"x" * 900], limit_bytes=2000))[0].batched


@dataclass
class Received:
    """A message as the client gives it: only the broker makes real ones with an id and a time."""

    at: int

    def message_id(self) -> MessageId:
        found: MessageId = pulsar.MessageId(2, 3, 4, 5)._msg_id
        return found

    def topic_name(self) -> str:
        return f"{TOPIC}-partition-2"

    def data(self) -> bytes:
        return b""

    def partition_key(self) -> str:
        return "k"

    def properties(self) -> dict[str, str]:
        return {"traceparent": TRACE}

    def ordering_key(self) -> str:
        return ""

    def has_null_value(self) -> bool:
        return False

    def int_schema_version(self) -> int:
        return -1

    def event_timestamp(self) -> int:
        return self.at

    def publish_timestamp(self) -> int:
        return MADE

    def producer_name(self) -> str:
        return "standalone-0-1"


@pytest.mark.parametrize(("event_time", "time"), [(0, MADE), (7, 7)])
def test_a_message_from_pulsar_is_named_by_its_topic_and_id(event_time: int, time: int) -> None:
    spec = {
        "source": {"pulsar": {"topic": TOPIC, "subscription": "s"}},
        "sink": {"valkey": {"list": {"key": "events", "envelope": "JSON"}}},
        "valkey": {"url": "valkey://valkey:6379/0"},
        "pulsar": {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"},
    }
    resource = {"apiVersion": "headrace.dev/v1alpha1", "kind": "PulsarBridge", "metadata": {"name": "b"}, "spec": spec}
    [entry] = preparer(parse(PulsarBridge, resource), "p", Headers(None))([Received(event_time)]).entries
    assert isinstance(entry, bytes)
    assert json.loads(entry) == {
        "id": "3:4:2:5",
        "source": TOPIC,
        "time": moment(time),
        "key": "k",
        "properties": {"traceparent": TRACE},
        "payloadBase64": "",
    }
