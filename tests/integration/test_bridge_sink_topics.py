"""What happens to the topics of a bridge's sink while it runs, and between two runs."""

import uuid
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_subscription,
    create_topic,
    payloads,
    resource,
    unload,
    wait_for,
)

PREFIX = "headrace:{test/orders}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/sink-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **sink: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders"}}},
        "sink": {"pulsar": {"topic": topic, **sink}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "orders", spec)


def push(valkey: Valkey, entries: list[str]) -> None:
    with valkey.client() as client:
        client.lpush("orders", *entries)


def wait_until_moved(valkey: Valkey, seconds: float = 60) -> None:
    with valkey.client() as client:
        wait_for(lambda: client.llen("orders") + client.llen(f"{PREFIX}:cut") == 0, "everything is moved", seconds)


def test_p1_p2_p5_a_topic_that_is_unloaded_many_times_in_a_row(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    """The client's producer then calls itself connected, and never hears of anything again."""
    create_topic(pulsar, topic)
    create_subscription(pulsar, topic, "keep")  # an unloaded topic loses what nobody subscribed to
    processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    pushed = []
    for turn in range(3):
        for number in range(10):
            pushed.append(f"entry {turn} {number}")
            push(valkey, [pushed[-1]])
            unload(pulsar, topic)
        wait_until_moved(valkey)
    assert payloads(pulsar, topic) == pushed
