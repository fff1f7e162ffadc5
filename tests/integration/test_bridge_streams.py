"""Valkey stream -> Pulsar, with real brokers and real processes."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_topic,
    payloads,
    read_topic,
    resource,
    wait_for,
)

STREAM = "clicks"
GROUP = "headrace"
CUT = "headrace:{test/clicks}:cut"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/stream-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, sink: dict[str, Any] | None = None, **stream: Any) -> Any:
    spec = {
        "source": {"valkey": {"stream": {"key": STREAM, **stream}}},
        "sink": {"pulsar": {"topic": topic, **(sink or {})}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "clicks", spec)


def add(valkey: Valkey, numbers: range) -> list[str]:
    """Add entries; returns their ids."""
    with valkey.client() as client:
        pipeline: Any = client.pipeline(transaction=False)
        for number in numbers:
            pipeline.xadd(STREAM, {"n": number, "page": "home"})
        return [str(identity) for identity in pipeline.execute()]


def numbers(pulsar: Pulsar, topic: str) -> list[int]:
    return [int(json.loads(payload)["n"]) for payload in payloads(pulsar, topic)]


def drained(valkey: Valkey) -> bool:
    with valkey.client() as client:
        groups: Any = client.xinfo_groups(STREAM)
        return bool(groups) and groups[0]["lag"] == 0 and client.llen(CUT) == 0


def test_p1_p2_entries_arrive_once_in_order_with_their_ids(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    ids = add(valkey, range(2500))
    running = processes.start("bridge", bridge(valkey, pulsar, topic, {"key": "n"})).wait_until_ready()
    wait_for(lambda: drained(valkey), "the stream is drained")
    found = read_topic(pulsar, topic)
    assert [json.loads(message.data()) for message in found] == [{"n": str(n), "page": "home"} for n in range(2500)]
    assert [message.properties()["VALKEY_STREAM_ID"] for message in found] == ids
    assert [message.partition_key() for message in found] == [str(n) for n in range(2500)]
    add(valkey, range(2500, 2510))
    wait_for(lambda: len(numbers(pulsar, topic)) == 2510, "the later entries")
    wait_for(lambda: running.metric("headrace_bridge_forwarded_total", status="success") == 2510, "the count")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("headrace.bridge.publisher:Publisher.publish@before", id="after the cut, before anything is sent"),
        pytest.param("headrace.bridge.cut:CutStore.commit@before", id="after Pulsar has it, before the commit"),
    ],
)
def test_p1_p2_killed_at_any_point_nothing_is_lost_or_doubled(
    moment: str, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    add(valkey, range(1500))
    dying = processes.start("bridge", bridge(valkey, pulsar, topic, trim=True), deadly=moment)
    wait_for(lambda: dying.process.poll() is not None, "it is killed")
    with valkey.client() as client:
        assert client.llen(CUT) > 0
        client.xtrim(STREAM, 0)  # as a producer's MAXLEN would: what was taken is safe in the cut
    processes.start("bridge", bridge(valkey, pulsar, topic, trim=True))
    add(valkey, range(1500, 1600))
    wait_for(lambda: drained(valkey), "the rest")
    found = numbers(pulsar, topic)
    taken = [number for number in found if number < 1500]
    assert taken == list(range(len(taken)))
    assert len(taken) >= 900
    assert found[len(taken) :] == list(range(1500, 1600))


def test_a_field_is_the_payload_and_the_others_are_properties(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.xadd(STREAM, {"body": b"\xff\x00", "shop": "7"})
        client.xadd(STREAM, {"other": "x"})
        client.xadd(STREAM, {"body": b"fine", "shop": b"\xff"})
    processes.start("bridge", bridge(valkey, pulsar, topic, payloadField="body"))
    wait_for(lambda: drained(valkey), "the stream is drained")
    [message] = read_topic(pulsar, topic)
    assert (message.data(), message.properties()["shop"]) == (b"\xff\x00", "7")
    letters = read_topic(pulsar, f"{topic}-DLQ")
    assert [letter.properties()["HEADRACE_REASON"] for letter in letters] == ["FieldMissing", "InvalidRecord"]
    assert "the entry has no field body" in letters[0].properties()["HEADRACE_ERROR"]
    assert json.loads(letters[1].data())["fields"] == [["body", "fine"], ["shop", {"base64": "/w=="}]]


def test_p1_what_another_consumer_left_pending_is_taken_over(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        ids = add(valkey, range(20))
        client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
        # as if it had been idle for two minutes
        client.xclaim(STREAM, GROUP, "dead", 0, ids[:10], idle=120_000)
        processes.start("bridge", bridge(valkey, pulsar, topic))
        wait_for(lambda: drained(valkey), "the stream is drained")
        assert client.xpending(STREAM, GROUP)["pending"] == 0
    assert numbers(pulsar, topic) == list(range(20))


def test_p1_a_group_that_is_destroyed_goes_on_where_it_was_and_a_new_stream_begins(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    add(valkey, range(10))
    processes.start("bridge", bridge(valkey, pulsar, topic))
    wait_for(lambda: drained(valkey), "the stream is drained")
    with valkey.client() as client:
        client.xgroup_destroy(STREAM, GROUP)
        add(valkey, range(10, 20))
        wait_for(lambda: client.xinfo_groups(STREAM), "the group is made again")
        wait_for(lambda: drained(valkey), "the later entries")
        client.delete(STREAM)
        add(valkey, range(20, 30))
        wait_for(lambda: client.xinfo_groups(STREAM), "the group is made again")
        wait_for(lambda: drained(valkey), "the entries of the new stream")
    assert numbers(pulsar, topic) == list(range(30))


def test_p1_trimming_spares_what_another_group_has_not_acknowledged(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.xgroup_create(STREAM, "slow", id="0", mkstream=True)
        ids = add(valkey, range(50))
        client.xreadgroup("slow", "reader", {STREAM: ">"}, count=30)
        client.xack(STREAM, "slow", *ids[:20])
        processes.start("bridge", bridge(valkey, pulsar, topic, trim=True))
        wait_for(lambda: client.xlen(STREAM) == 30, "what both groups have is gone")
        assert client.xrange(STREAM, count=1)[0][0] == ids[20]
        client.xack(STREAM, "slow", *ids[20:30])
        client.xreadgroup("slow", "reader", {STREAM: ">"}, noack=True)
        add(valkey, range(50, 51))
        wait_for(lambda: drained(valkey), "the last entry")
    assert numbers(pulsar, topic) == list(range(51))


def test_a_group_may_begin_with_what_comes_next(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    add(valkey, range(5))
    processes.start("bridge", bridge(valkey, pulsar, topic, initialPosition="Latest")).wait_until_ready()
    with valkey.client() as client:
        wait_for(lambda: client.xinfo_groups(STREAM), "the group is there")
    add(valkey, range(5, 8))
    wait_for(lambda: numbers(pulsar, topic) == [5, 6, 7], "only the later entries")


def test_p7_a_key_that_is_no_stream_is_said_and_harms_nothing(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.set(STREAM, "a string")
        running = processes.start("bridge", bridge(valkey, pulsar, topic))
        wait_for(lambda: "WRONGTYPE" in running.log(), "the log says what is wrong")
        assert client.get(STREAM) == "a string"
        client.delete(STREAM)
    add(valkey, range(3))
    wait_for(lambda: numbers(pulsar, topic) == [0, 1, 2], "it goes on by itself")


def test_the_operator_counts_what_the_group_has_not_read(valkey: Valkey, pulsar: Pulsar) -> None:
    document = parse(PulsarBridge, bridge(valkey, pulsar, "persistent://public/default/counted"))
    assert asyncio.run(ask_valkey(document, Credentials())).backlog is None
    with valkey.client() as client:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        add(valkey, range(7))
        client.xreadgroup(GROUP, "another", {STREAM: ">"}, count=2)
    numbers = asyncio.run(ask_valkey(document, Credentials()))
    assert (numbers.backlog, numbers.in_flight) == (7, 0)
