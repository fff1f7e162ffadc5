"""Pulsar -> Valkey streams, hashes and channels: each message once, poison aside, and a wrong type told."""

import json
import signal
import uuid
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_topic,
    payloads,
    publish,
    resource,
    wait_for,
)

SUBSCRIPTION = "shop"
STREAM = {"stream": {"key": "target"}}
HASH = {"hash": {"key": "target", "field": "message.key"}}
CHANNEL = {"pubSub": {"channel": "target"}}


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = create_topic(pulsar, f"persistent://public/default/sinks-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, sink: dict[str, Any], **changes: Any) -> dict[str, Any]:
    source = {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}}
    spec = {"source": source, "sink": {"valkey": sink}, **connections(valkey, pulsar), **changes}
    return resource("PulsarBridge", "sinks", spec)


def messages(first: int, last: int) -> list[bytes]:
    return [json.dumps({"number": number}).encode() for number in range(first, last)]


def wait_until_acknowledged(pulsar: Pulsar, topic: str) -> None:
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "everything is acknowledged", 40)


def hear(ear: Any) -> str:
    """The next publication."""
    while (found := ear.get_message(timeout=20))["type"] != "message":
        pass
    return str(found["data"])


def test_an_entry_of_a_stream_has_payload_key_and_properties(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    publish(pulsar, topic, {"k": b'{"a": 1}'}, properties={"tenant": "x", "key": "taken", "body": "too"})
    publish(pulsar, topic, [b""])
    sink = {"stream": {"key": "target", "payloadField": "body", "maxLength": 1000}}
    processes.start("bridge", bridge(valkey, pulsar, topic, sink)).wait_until_ready()
    with valkey.client() as client:
        wait_for(lambda: client.exists("target") and client.xlen("target") == 2, "two entries")
        [(_, first), (_, second)] = client.xrange("target")
    assert first.pop("PULSAR_MESSAGE_ID").count(":") == 3
    assert first == {
        "body": '{"a": 1}',
        "key": "k",
        "tenant": "x",
        "message.properties.key": "taken",
        "message.properties.body": "too",
    }
    assert second["body"] == ""


def test_a_field_of_a_hash_has_the_last_payload_and_goes_with_an_empty_one(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    for change in ({"a": b"1", "b": b"\xff\n2"}, {"a": b"3", "c": b"4"}, {"b": b"", "never": b""}):
        publish(pulsar, topic, change)
    publish(pulsar, topic, [b"nobody's"])
    running = processes.start("bridge", bridge(valkey, pulsar, topic, HASH)).wait_until_ready()
    wait_until_acknowledged(pulsar, topic)
    with valkey.client() as client:
        assert client.hgetall("target") == {"a": "3", "c": "4"}
    wait_for(
        lambda: payloads(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ") == ["nobody's"], "what has no key is a dead letter"
    )
    assert running.metric("headrace_bridge_dead_letters_total", reason="KeyMissing") == 1


def test_a_channel_hears_each_message_once_and_what_nobody_heard_is_counted(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    running = processes.start("bridge", bridge(valkey, pulsar, topic, CHANNEL)).wait_until_ready()
    publish(pulsar, topic, messages(0, 5))
    wait_for(lambda: running.metric("headrace_bridge_unheard_total") == 5, "nobody heard them")
    with valkey.client() as client, client.pubsub() as ear:
        ear.subscribe("target")
        wait_for(lambda: client.pubsub_numsub("target")[0][1] == 1, "somebody listens")
        publish(pulsar, topic, messages(5, 105))
        assert [hear(ear).encode() for _ in range(100)] == messages(5, 105)
        assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success") == 105
        assert running.metric("headrace_bridge_unheard_total") == 5


@pytest.mark.parametrize(
    ("sink", "point"),
    [(STREAM, "DeliveryStore.push@before"), (STREAM, "DeliveryStore.push"), (CHANNEL, "DeliveryStore.push")],
    ids=["stream, before", "stream, after", "channel, after"],
)
def test_p1_p2_killed_around_the_push_nothing_is_lost_or_doubled(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, sink: dict[str, Any], point: str
) -> None:
    document = bridge(valkey, pulsar, topic, sink, deduplicate={"key": "number"})
    # what is dropped at the second delivery is dropped by the watermark: the window is over by then
    document["spec"]["deduplicate"]["windowSeconds"] = 1
    with valkey.client() as client, client.pubsub() as ear:
        ear.subscribe("target")
        publish(pulsar, topic, messages(0, 300))
        dying = processes.start("bridge", document, deadly=f"headrace.bridge.delivery:{point}")
        assert dying.process.wait(30) == -signal.SIGKILL
        processes.start("bridge", document)
        wait_until_acknowledged(pulsar, topic)
        if sink is STREAM:
            found = [entry["payload"].encode() for _, entry in client.xrange("target")]
        else:
            client.publish("target", "end")
            found = []
            while (text := hear(ear)) != "end":
                found.append(text.encode())
    assert found == messages(0, 300)


@pytest.mark.parametrize(("sink", "wanted"), [(STREAM, "stream"), (HASH, "hash")])
def test_p1_p5_a_target_of_another_type_is_told_and_waited_for(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, sink: dict[str, Any], wanted: str
) -> None:
    with valkey.client() as client:
        client.set("target", "neither")
        running = processes.start("bridge", bridge(valkey, pulsar, topic, sink))
        publish(pulsar, topic, {"k": b"1"})
        told = f"WRONGTYPE target is a string and should be a {wanted}"
        wait_for(lambda: told in running.log(), "it says so")
        wait_for(lambda: f"{topic}: valkey: WrongType: " in running.get("/readyz")[1], "it is not ready")
        client.delete("target")
        wait_for(lambda: client.type("target") == wanted, "it goes on")
