"""What must be true in Valkey before Pulsar may forget a message, or is sent one, and what is told when it is not."""

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    backlog,
    connections,
    create_topic,
    publish,
    read_topic,
    resource,
    rewind,
    wait_for,
)

SUBSCRIPTION = "shop"
UNMET = "headrace_bridge_durability_unmet_total"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = create_topic(pulsar, f"persistent://public/default/durable-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **delivery: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}},
        "sink": {"valkey": {"list": {"key": "events"}}},
        **connections(valkey, pulsar),
        **({"delivery": delivery} if delivery else {}),
    }
    return resource("PulsarBridge", "durable", spec)


def messages(first: int, last: int) -> list[bytes]:
    return [json.dumps({"number": number}).encode() for number in range(first, last)]


def arrived(valkey: Valkey) -> list[str]:
    with valkey.client() as client:
        found: list[str] = client.lrange("events", 0, -1)
    return found[::-1]


def wait_for_arrivals(valkey: Valkey, number: int) -> None:
    wait_for(lambda: len(arrived(valkey)) == number, f"{number} entries")


def wait_until_acknowledged(pulsar: Pulsar, topic: str) -> None:
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "everything is acknowledged")


def calls(valkey: Valkey, command: str) -> int:
    with valkey.client() as client:
        statistics: Any = client.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def wait_until_said(running: Headrace, text: str) -> None:
    wait_for(lambda: text in running.log(), f"it says: {text}")


def test_p1_acknowledged_only_after_the_third_answer_of_the_disk(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """Why three: see `headrace.bridge.durability`."""
    publish(pulsar, topic, messages(0, 100))
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for_arrivals(valkey, 100)
    wait_until_acknowledged(pulsar, topic)
    assert calls(valkey, "waitaof") >= 3
    assert running.metric(UNMET) == 0
    assert running.stop() == 0


@pytest.mark.parametrize(("setting", "value"), [("appendonly", "no"), ("appendfsync", "no")])
def test_p5_a_valkey_without_a_disk_is_told_and_harms_nothing(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, setting: str, value: str
) -> None:
    with valkey.client() as client:
        client.config_set(setting, value)
    publish(pulsar, topic, messages(0, 10))
    running = processes.start("bridge", bridge(valkey, pulsar, topic, durability="Fsync")).wait_until_ready()
    wait_until_acknowledged(pulsar, topic)
    assert len(arrived(valkey)) == 10
    assert running.metric(UNMET, durability="Fsync") >= 1
    assert running.log().count("cannot confirm that messages are on its disk") == 1
    assert running.get("/readyz")[0] == 200


def test_p1_nothing_is_acknowledged_that_too_few_replicas_have(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, tmp_path: Path
) -> None:
    with Valkey(tmp_path / "replica") as replica:
        with replica.client() as client:
            client.replicaof(valkey.host, valkey.port)
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        document = bridge(valkey, pulsar, topic, durability="Replica", replicas=1)
        running = processes.start("bridge", document).wait_until_ready()
        publish(pulsar, topic, messages(0, 10))
        wait_until_acknowledged(pulsar, topic)
        assert (len(arrived(replica)), running.metric(UNMET)) == (10, 0)
        replica.stop()
        publish(pulsar, topic, messages(10, 20))
        wait_until_said(running, "is not on 1 replicas, but on 0 yet")
        assert len(arrived(valkey)) == 20
        assert backlog(pulsar, topic, SUBSCRIPTION) > 0
        assert running.metric(UNMET, durability="Replica") >= 1
        assert running.get("/readyz")[0] == 200
        replica.start()
        with replica.client() as client:
            client.replicaof(valkey.host, valkey.port)
        wait_until_acknowledged(pulsar, topic)
        assert len(arrived(replica)) == 20


def outward(valkey: Valkey, pulsar: Pulsar, topic: str, **delivery: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders"}}},
        "sink": {"pulsar": {"topic": topic}},
        "deadLetter": {"topic": f"{topic}-{SUBSCRIPTION}-DLQ"},
        **connections(valkey, pulsar),
        "delivery": delivery,
    }
    return resource("PulsarBridge", "outward", spec)


def sent(pulsar: Pulsar, topic: str) -> list[str]:
    return [message.data().decode() for message in read_topic(pulsar, topic)]


def test_p2_nothing_is_sent_that_too_few_replicas_have(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, tmp_path: Path
) -> None:
    with Valkey(tmp_path / "replica") as replica, valkey.client() as client:
        running = processes.start("bridge", outward(valkey, pulsar, topic, durability="Replica"))
        client.lpush("orders", "a", "b")
        wait_until_said(running, "is not on 1 replicas, but on 0 yet")
        assert sent(pulsar, topic) == []
        assert running.metric(UNMET, durability="Replica") >= 1
        assert client.llen("headrace:{test/outward}:cut") == 2
        assert running.get("/livez")[0] == 200
        with replica.client() as follower:
            follower.replicaof(valkey.host, valkey.port)
        wait_for(lambda: sent(pulsar, topic) == ["a", "b"], "it goes on by itself")
        assert client.lpush("orders", "c") == 1
        wait_for(lambda: sent(pulsar, topic) == ["a", "b", "c"], "what comes later")


def test_p2_what_is_sent_is_on_the_disk(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    with valkey.client() as client:
        client.lpush("orders", "a")
        running = processes.start("bridge", outward(valkey, pulsar, topic, durability="Fsync"))
        wait_for(lambda: sent(pulsar, topic) == ["a"], "it is sent")
        assert calls(valkey, "waitaof") >= 3
        assert running.metric(UNMET) == 0
        assert running.stop() == 0


def test_at_least_once_moves_to_a_topic_that_does_not_deduplicate(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/durable-{uuid.uuid4().hex[:8]}", deduplication=False)
    create_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ")
    document = outward(valkey, pulsar, topic, guarantee="AtLeastOnce")
    with valkey.client() as client:
        client.lpush("orders", *map(str, range(100)))
        dying = processes.start("bridge", document, deadly="headrace.bridge.cut:CutStore.commit@before")
        wait_for(lambda: dying.process.poll() is not None, "it is killed")
        client.lpush("orders", *map(str, range(100, 200)))
        processes.start("bridge", document)
        wait_for(lambda: set(sent(pulsar, topic)) == set(map(str, range(200))), "nothing is lost")


@pytest.mark.parametrize("guarantee", ["EffectivelyOnce", "AtLeastOnce"])
def test_p2_only_at_least_once_brings_again_what_the_cursor_passes_again(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, guarantee: str
) -> None:
    document = bridge(valkey, pulsar, topic, guarantee=guarantee, durability="Memory")
    publish(pulsar, topic, messages(0, 10))
    running = processes.start("bridge", document).wait_until_ready()
    wait_until_acknowledged(pulsar, topic)
    assert calls(valkey, "waitaof") == 0
    # while it runs its client would drop what it acknowledged before
    assert running.stop() == 0
    rewind(pulsar, topic, SUBSCRIPTION)
    running = processes.start("bridge", document)
    publish(pulsar, topic, messages(10, 11))
    wait_until_acknowledged(pulsar, topic)
    once = guarantee == "EffectivelyOnce"
    wait_for_arrivals(valkey, 11 if once else 21)
    assert set(Counter(arrived(valkey)[:-1]).values()) == {1 if once else 2}
    assert (running.metric("headrace_bridge_duplicates_dropped_total") == 10) == once


def test_p1_p5_a_full_valkey_is_told_and_waited_for(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """`maxmemory` with `noeviction`: what was taken before is confirmed and acknowledged, the rest waits in Pulsar."""
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    publish(pulsar, topic, messages(0, 10))
    wait_for_arrivals(valkey, 10)
    with valkey.client() as client:
        client.config_set("maxmemory", 1)
        publish(pulsar, topic, messages(10, 20))
        wait_until_said(running, "command not allowed when used memory > 'maxmemory'")
        reason = {"topic": topic, "subscription": SUBSCRIPTION, "reason": "ValkeyFull"}
        wait_for(lambda: running.metric("pulsar_consumer_failures_total", **reason) >= 1, "it is counted")
        ids = [message.message_id() for message in read_topic(pulsar, topic)[10:]]
        waiting = len({(identity.ledger_id(), identity.entry_id()) for identity in ids})
        wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == waiting, "what was taken is acknowledged")
        assert running.get("/livez")[0] == 200
        client.config_set("maxmemory", 0)
    wait_until_acknowledged(pulsar, topic)
    assert arrived(valkey) == [message.decode() for message in messages(0, 20)]


def test_p1_p5_a_target_of_another_type_is_told_and_waited_for(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    document["spec"]["deduplicate"] = {"key": "number"}
    with valkey.client() as client:
        client.set("events", "no list")
        running = processes.start("bridge", document).wait_until_ready()
        publish(pulsar, topic, messages(0, 10))
        wait_until_said(running, "WRONGTYPE events is a string and should be a list; 10 messages wait here")
        reason = {"topic": topic, "subscription": SUBSCRIPTION, "reason": "WrongType"}
        wait_for(lambda: running.metric("pulsar_consumer_failures_total", **reason) >= 1, "it is counted")
        client.delete("events")
    wait_until_acknowledged(pulsar, topic)
    assert arrived(valkey) == [message.decode() for message in messages(0, 10)]
