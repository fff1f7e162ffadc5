"""Valkey pub/sub -> Pulsar, with real brokers and real processes."""

import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    connections,
    create_topic,
    payloads,
    read_topic,
    resource,
    wait_for,
)

PREFIX = "headrace:{test/news}"
CHANNEL = "news"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/channels-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, sink: dict[str, Any] | None = None, **source: Any) -> Any:
    spec = {
        "source": {"valkey": {"pubSub": source or {"channels": [CHANNEL]}}},
        "sink": {"pulsar": {"topic": topic, **(sink or {})}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "news", spec)


def publish(valkey: Valkey, messages: list[str], channel: str = CHANNEL) -> None:
    with valkey.client() as client:
        pipeline: Any = client.pipeline(transaction=False)
        for message in messages:
            pipeline.publish(channel, message)
        pipeline.execute()


def holds_the_lease(valkey: Valkey) -> bool:
    """Some replica is at work, and has said up to where it has put things away."""
    with valkey.client() as client:
        return bool(client.exists(f"{PREFIX}:lease") and client.hexists(f"{PREFIX}:received-state", "put"))


def started(processes: Processes, valkey: Valkey, document: Any) -> Headrace:
    running = processes.start("bridge", document).wait_until_ready()
    wait_for(lambda: holds_the_lease(valkey), "it receives")
    return running


@contextmanager
def traffic(valkey: Valkey) -> Iterator[list[str]]:
    """Publishes numbers without pause; gives those that were published."""
    stop = threading.Event()
    sent: list[str] = []

    def run() -> None:
        with valkey.client() as client:
            while not stop.wait(0.001):
                client.publish(CHANNEL, str(len(sent)))
                sent.append(str(len(sent)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def test_p2_a_message_that_several_patterns_fit_arrives_once_with_its_channel(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    source = {"channels": ["news", "other"], "patterns": ["n*", "ne?s", "*"]}
    sink = {"key": "message.properties.VALKEY_CHANNEL"}
    running = started(processes, valkey, bridge(valkey, pulsar, topic, sink, **source))
    publish(valkey, [str(number) for number in range(3000)])
    publish(valkey, ["x", ""], "n")
    wait_for(lambda: running.metric("headrace_bridge_forwarded_total", status="success") == 3002, "all are moved")
    found = read_topic(pulsar, topic)
    assert [message.data().decode() for message in found] == [*(str(number) for number in range(3000)), "x", ""]
    assert Counter((message.partition_key(), message.properties()["VALKEY_CHANNEL"]) for message in found) == {
        ("news", "news"): 3000,
        ("n", "n"): 2,
    }
    assert running.metric("headrace_bridge_gaps_total") == 0


def test_p7_a_payload_without_the_key_is_a_dead_letter_of_its_channel(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    started(processes, valkey, bridge(valkey, pulsar, topic, {"key": "id"}))
    publish(valkey, ["no json", '{"id": "a"}'])
    wait_for(lambda: payloads(pulsar, topic) == ['{"id": "a"}'], "the good one")
    [letter] = wait_for(lambda: read_topic(pulsar, f"{topic}-DLQ"), "the dead letter")
    assert letter.data() == b"no json"
    assert letter.properties()["VALKEY_CHANNEL"] == CHANNEL
    assert letter.properties()["HEADRACE_REASON"] == "InvalidJSON"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_p1_p2_what_is_published_while_the_other_replica_takes_over_arrives_once(
    end: signal.Signals, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    first = started(processes, valkey, document)
    second = processes.start("bridge", document).wait_until_ready()
    with valkey.client() as client, traffic(valkey) as sent:
        wait_for(lambda: len(sent) > 200, "traffic")
        owner = client.get(f"{PREFIX}:owner")
        first.signal(end)
        wait_for(lambda: client.get(f"{PREFIX}:owner") != owner, "the other takes over")
        wait_for(lambda: second.metric("headrace_bridge_forwarded_total", status="success") > 0, "it moves messages")
        if end is signal.SIGSTOP:
            first.signal(signal.SIGCONT)
            wait_for(lambda: "standing by" in first.log(), "the one that wakes up is refused")
    wait_for(lambda: set(payloads(pulsar, topic)) >= set(sent), "everything arrived")
    assert payloads(pulsar, topic) == sent
    assert second.metric("headrace_bridge_gaps_total") == 0


def test_p1_the_buffer_holds_what_comes_while_pulsar_does_not_serve(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = f"persistent://public/default/channels-{uuid.uuid4().hex[:8]}"
    running = processes.start("bridge", bridge(valkey, pulsar, topic, channels=[CHANNEL], bufferMessages=2500))
    wait_for(lambda: holds_the_lease(valkey), "it receives")
    publish(valkey, [str(number) for number in range(3000)])
    wait_for(lambda: running.metric("headrace_bridge_dropped_total", reason="BufferFull") == 500, "the rest is dropped")
    create_topic(pulsar, f"{topic}-DLQ")
    create_topic(pulsar, topic)
    wait_for(lambda: running.metric("headrace_bridge_forwarded_total", status="success"), "it moves messages", 60)
    wait_for(lambda: len(payloads(pulsar, topic)) == 2500, "what was kept arrives")
    assert payloads(pulsar, topic) == [str(number) for number in range(2500)]
    assert running.metric("headrace_bridge_gaps_total") == 0
    assert "messages of the channels were dropped" in running.log()


def test_a_subscription_that_breaks_is_counted_as_a_gap(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    running = started(processes, valkey, document)
    publish(valkey, ["before"])
    wait_for(lambda: payloads(pulsar, topic) == ["before"], "it works")
    with valkey.client() as client:
        assert client.client_kill_filter(_type="pubsub") == 1
        wait_for(lambda: running.metric("headrace_bridge_gaps_total") == 1, "it counts")
        publish(valkey, ["after"])
        wait_for(lambda: payloads(pulsar, topic) == ["before", "after"], "it goes on")
        running.kill()
        again = processes.start("bridge", document).wait_until_ready()
        wait_for(lambda: again.metric("headrace_bridge_gaps_total") == 1, "it counts what it missed while it was away")
    assert any("a gap" in json.loads(line)["message"] for line in again.log().splitlines())
