"""Shared and KeyShared subscriptions -> Valkey, with several replicas at once."""

import json
import signal
import uuid
from collections import Counter
from typing import Any

import pulsar as pulsar_library
import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_topic,
    payloads,
    producer,
    publish,
    resource,
    unload,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"
PREFIX = "headrace:{test/events}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/spread-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, kind: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, "subscriptionType": kind}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def events(first: int, last: int) -> list[bytes]:
    return [json.dumps({"number": number}).encode() for number in range(first, last)]


def numbers(valkey: Valkey) -> list[int]:
    """What arrived, in the order of its arrival."""
    with valkey.client() as client:
        return [json.loads(entry)["number"] for entry in client.lrange(LIST, 0, -1)[::-1]]


def wait_for_all(valkey: Valkey, count: int) -> None:
    wait_for(lambda: len(numbers(valkey)) >= count, f"{count} entries", 60)
    assert Counter(numbers(valkey)) == Counter(range(count))


def ids_remembered(valkey: Valkey, topic: str) -> int:
    with valkey.client() as client:
        return int(client.zcard(f"{PREFIX}:delivered:{topic}"))


def publish_unbatched(pulsar: Pulsar, topic: str, messages: list[bytes], keys: int = 0) -> None:
    """Each message an entry of its own, so that a topic's messages can go to different consumers."""
    client = pulsar_library.Client(pulsar.service_url)
    sender = client.create_producer(topic, batching_enabled=False, block_if_queue_full=True)
    for number, payload in enumerate(messages):
        sender.send_async(payload, lambda *_: None, partition_key=f"key {number % keys}" if keys else None)
    sender.flush()
    client.close()


def test_p1_p2_replicas_share_one_topic_and_the_ids_are_forgotten(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic, "Shared", deduplicate={"key": "number"})
    both = [processes.start("bridge", document).wait_until_ready() for _ in range(2)]
    publish_unbatched(pulsar, topic, [*events(0, 3000), b"poison"])
    wait_for_all(valkey, 3000)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged", 40)
    moved = [one.metric("headrace_bridge_forwarded_total", topic=topic, status="success") for one in both]
    assert sum(moved) == 3000
    assert min(moved) > 0
    wait_for(lambda: payloads(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ") == ["poison"], "the dead letter")
    wait_for(lambda: ids_remembered(valkey, topic) == 0, "the ids are forgotten")
    assert [one.stop() for one in both] == [0, 0]


@pytest.mark.parametrize(("kind", "late"), [("Shared", True), ("KeyShared", False)])
def test_p2_a_replica_that_was_frozen_pushes_nothing_that_another_pushed(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str, late: bool
) -> None:
    document = bridge(valkey, pulsar, topic, kind)
    in_hand = "headrace.bridge.delivery:DeliveryStore.push@before!stopped"
    frozen = processes.start("bridge", document, deadly=in_hand).wait_until_ready()
    publish_unbatched(pulsar, topic, events(0, 1000), keys=5)
    wait_for(frozen.frozen, "it freezes with a batch in hand")
    # the broker forgets its consumers, as it does some time after a node is gone
    unload(pulsar, topic)
    other = processes.start("bridge", document)
    wait_for_all(valkey, 1000)
    if late:
        wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged", 40)
        wait_for(lambda: ids_remembered(valkey, topic) == 0, "the ids are forgotten: the line alone holds now")
    else:
        assert ids_remembered(valkey, topic) > 0
    frozen.signal(signal.SIGCONT)
    wait_for(lambda: frozen.metric("headrace_bridge_duplicates_dropped_total") > 0, "it drops what it held", 40)
    other.kill()
    publish(pulsar, topic, events(1000, 1010))
    wait_for_all(valkey, 1010)


def test_p1_p2_killed_replicas_lose_and_double_nothing(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic, "Shared")
    points = (None, "push@before", "push#2")
    started = [
        processes.start("bridge", document, deadly=point and f"headrace.bridge.delivery:DeliveryStore.{point}")
        for point in points
    ]
    for one in started:
        one.wait_until_ready()
    with producer(pulsar, topic) as sender:
        for number, payload in enumerate(events(0, 4000)):
            sender.send_async(payload, lambda *_: None)
            if number % 50 == 0:
                sender.flush()
        sender.flush()
    for one in started[1:]:
        assert one.process.wait(40) == -signal.SIGKILL
    wait_for_all(valkey, 4000)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged", 40)
    assert Counter(numbers(valkey)) == Counter(range(4000))


def test_key_shared_keeps_each_key_in_order_while_replicas_come_and_go(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic, "KeyShared")
    first = processes.start("bridge", document).wait_until_ready()
    publish_unbatched(pulsar, topic, events(0, 1000), keys=20)
    second = processes.start("bridge", document).wait_until_ready()
    publish_unbatched(pulsar, topic, events(1000, 2000), keys=20)
    wait_for(lambda: second.metric("headrace_bridge_forwarded_total") > 0, "the second one works, too")
    first.kill()
    publish_unbatched(pulsar, topic, events(2000, 3000), keys=20)
    wait_for_all(valkey, 3000)
    arrived = numbers(valkey)
    for key in range(20):
        mine = [number for number in arrived if number % 20 == key]
        assert mine == sorted(mine)
