"""What a message looks like on the other side, with real brokers and real processes."""

import base64
import json
import uuid
from typing import Any

import pytest
from pulsar import Message

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_topic,
    keep,
    payloads,
    publish,
    read_topic,
    resource,
    unload,
    wait_for,
)
from tests.integration.pulsar_schemas import delete_schema, put_schema

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "shop=1"}
NAME = "shapes"
SOURCE = f"PulsarBridge/test/{NAME}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/shape-{uuid.uuid4().hex[:8]}"
    for suffix in ("-DLQ", "-s-DLQ"):
        create_topic(pulsar, f"{name}{suffix}")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, source: dict[str, Any], sink: dict[str, Any]) -> dict[str, Any]:
    spec = {"source": source, "sink": sink, **connections(valkey, pulsar)}
    return resource("PulsarBridge", NAME, spec)


def wait_for_messages(pulsar: Pulsar, topic: str, number: int) -> list[Message]:
    wait_for(lambda: len(read_topic(pulsar, topic)) >= number, f"{number} messages of {topic}")
    return read_topic(pulsar, topic)


def test_an_entry_of_a_stream_becomes_a_cloud_event(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    source = {"valkey": {"stream": {"key": "changes", "payloadField": "body"}}}
    sink = {"pulsar": {"topic": topic, "key": "id", "envelope": "CloudEvents"}}
    with valkey.client() as client:
        identity = client.xadd("changes", {"body": '{"id": "é"}', "type": "shop.order", **TRACE})
    processes.start("bridge", bridge(valkey, pulsar, source, sink))
    [message] = wait_for_messages(pulsar, topic, 1)
    event = json.loads(message.data())
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": identity,
        "source": SOURCE,
        "type": "shop.order",
        "subject": "é",
        "datacontenttype": "application/json",
        "data": {"id": "é"},
        **TRACE,
    }
    assert message.partition_key() == "é"
    assert message.properties().items() >= {"content-type": "application/cloudevents+json", **TRACE}.items()


def test_a_message_of_any_bytes_stands_in_a_list_with_what_belongs_to_it(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    publish(pulsar, topic, {"k": b"\x00\xff"}, properties=TRACE, event_timestamp=1_732_204_800_123)
    publish(pulsar, topic, [b'{"n": 1}'])
    source = {"pulsar": {"topic": topic, "subscription": "s"}}
    sink = {"valkey": {"list": {"key": "shapes", "envelope": "JSON"}}}
    processes.start("bridge", bridge(valkey, pulsar, source, sink))
    with valkey.client() as client:
        wait_for(lambda: client.llen("shapes") == 2, "both entries")
        second, first = (json.loads(entry) for entry in client.lrange("shapes", 0, -1))
    [sent, _] = read_topic(pulsar, topic)
    identity = sent.message_id()
    assert first == {
        "id": f"{identity.ledger_id()}:{identity.entry_id()}:{identity.partition()}:{identity.batch_index()}",
        "source": topic,
        "time": "2024-11-21T16:00:00.123Z",
        "key": "k",
        "properties": TRACE,
        "payloadBase64": base64.b64encode(b"\x00\xff").decode(),
    }
    assert (second["payload"], second["key"], second["time"][:2]) == ({"n": 1}, None, "20")


def test_p7_key_properties_and_event_time_are_selected_and_bad_ones_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    selected = {"shop": "shop.name", "items": "items", "kind": "message.properties.kind"}
    sink = {"topic": topic, "key": "message.properties.id", "properties": selected, "eventTime": "at"}
    source = {"valkey": {"stream": {"key": "changes", "payloadField": "body"}}}
    bodies = [
        {"shop": {"name": "é"}, "items": [1, {"a": None}], "at": "2024-11-21T17:00:00.123+01:00"},
        {"shop": {"name": None}, "at": 7},
        {"at": "yesterday"},
        {"items": "x" * 70_000},
    ]
    with valkey.client() as client:
        for number, body in enumerate(bodies):
            client.xadd("changes", {"body": json.dumps(body), "id": f"k{number}", **({} if number else {"kind": "z"})})
        client.xadd("changes", {"body": "no json", "id": "k"})
        client.xadd("changes", {"body": '{"last": 1}', "id": "last"})
    processes.start("bridge", bridge(valkey, pulsar, source, {"pulsar": sink}))
    found = wait_for_messages(pulsar, topic, 3)
    seen = [(message.partition_key(), message.event_timestamp(), message.properties()) for message in found]
    for _, _, properties in seen:
        del properties["VALKEY_STREAM_ID"]
        properties.pop("HEADRACE_CUT", None)
    assert seen == [
        ("k0", 1_732_204_800_123, {"id": "k0", "shop": "é", "items": '[1,{"a":null}]', "kind": "z"}),
        ("k1", 7, {"id": "k1"}),
        ("last", 0, {"id": "last"}),
    ]
    letters = wait_for_messages(pulsar, f"{topic}-DLQ", 3)
    reasons = [message.properties()["HEADRACE_REASON"] for message in letters]
    assert reasons == ["EventTimeInvalid", "MetadataTooLarge", "InvalidJSON"]
    assert json.loads(json.loads(letters[0].data())["fields"][0][1]) == bodies[2]


def test_p5_a_topic_whose_schema_takes_no_bytes_is_told_and_waited_for(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    keep(pulsar, topic)
    schema = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}
    put_schema(pulsar, topic, {"type": "AVRO", "schema": json.dumps(schema), "properties": {}})
    source = {"valkey": {"list": {"key": "orders"}}}
    running = processes.start("bridge", bridge(valkey, pulsar, source, {"pulsar": {"topic": topic}}))

    def connected() -> bool:
        return running.metric("headrace_bridge_connected", side="pulsar") == 1

    with valkey.client() as client:
        client.lpush("orders", "first", "second")
        wait_for(lambda: "the topic has a schema" in running.log(), "it says why")
        assert not connected()
        assert "pulsar is not reachable" in running.get("/readyz")[1]
        assert running.get("/livez")[0] == 200
        delete_schema(pulsar, topic)
        wait_for_messages(pulsar, topic, 2)
        wait_for(connected, "it is connected")
        put_schema(pulsar, topic, {"type": "AVRO", "schema": json.dumps(schema), "properties": {}})
        unload(pulsar, topic)
        wait_for(lambda: not connected(), "the producer is refused when it comes back")
        client.lpush("orders", "third")
        delete_schema(pulsar, topic)
        wait_for_messages(pulsar, topic, 3)
    assert payloads(pulsar, topic) == ["first", "second", "third"]
