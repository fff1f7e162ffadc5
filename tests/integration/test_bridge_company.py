"""Two bridges that read one subscription: one works, the other says why it does not. Real brokers, real processes."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulsar as pulsar_library
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
    resource,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"
TAKEN = "the subscription shop is read by another bridge, PulsarBridge/test/events (uid "


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/company-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return create_topic(pulsar, name, partitions=3)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Valkey]:
    """The Valkey of another Kubernetes cluster."""
    with Valkey(tmp_path / "other-valkey") as server:
        yield server


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, uid: str, kind: str = "Failover") -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, "subscriptionType": kind}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        "delivery": {"durability": "Memory"},
        **connections(valkey, pulsar),
    }
    document = resource("PulsarBridge", "events", spec)
    document["metadata"]["uid"] = uid
    return document


def numbered(first: int, last: int) -> dict[str, bytes]:
    return {str(number): json.dumps(number).encode() for number in range(first, last)}


def numbers(valkey: Valkey) -> list[int]:
    with valkey.client() as client:
        return sorted(int(entry) for entry in client.lrange(LIST, 0, -1))


def refused(one: Headrace, text: str) -> bool:
    status, page = one.get("/readyz")
    return status == 503 and text in page


@pytest.mark.parametrize("kind", ["Failover", "Shared"])
def test_p1_p2_p8_the_same_bridge_in_two_clusters_with_two_valkeys_one_works_and_the_other_says_why_not(
    valkey: Valkey, other: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str
) -> None:
    working = processes.start("bridge", bridge(valkey, pulsar, topic, "one", kind)).wait_until_ready()
    publish(pulsar, topic, numbered(0, 50))
    wait_for(lambda: numbers(valkey) == list(range(50)), "all at the first one")
    second = processes.start("bridge", bridge(other, pulsar, topic, "two", kind))
    wait_for(lambda: refused(second, f"{TAKEN}one"), "the second one says why", 60)
    publish(pulsar, topic, numbered(50, 200))
    wait_for(lambda: numbers(valkey) == list(range(200)), "all at the first one", 60)
    assert (numbers(other), working.get("/readyz")[0]) == ([], 200)
    assert second.metric("pulsar_consumer_failures_total", reason="SubscriptionTaken") >= 1
    assert second.get("/livez")[0] == 200


def test_p1_p2_p8_two_that_begin_at_the_same_moment_do_not_mix(
    valkey: Valkey, other: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    publish(pulsar, topic, numbered(0, 100))
    both = [
        processes.start("bridge", bridge(one, pulsar, topic, str(number))) for number, one in enumerate((valkey, other))
    ]
    wait_for(lambda: sorted([numbers(valkey), numbers(other)]) == [[], list(range(100))], "all at one of them", 120)
    wait_for(lambda: sorted(each.get("/readyz")[0] for each in both) == [200, 503], "one is ready", 60)


def test_p1_p2_p8_the_same_bridge_in_two_clusters_with_one_valkey(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    working = processes.start("bridge", bridge(valkey, pulsar, topic, "one")).wait_until_ready()
    second = processes.start("bridge", bridge(valkey, pulsar, topic, "two"))
    wait_for(lambda: refused(second, "another resource of this namespace and name"), "the second one says why", 60)
    publish(pulsar, topic, numbered(0, 100))
    wait_for(lambda: numbers(valkey) == list(range(100)), "all of it")
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged")
    # the first one goes for good: the other goes on where it was
    working.kill()
    publish(pulsar, topic, numbered(100, 150))
    wait_for(lambda: numbers(valkey) == list(range(150)), "the rest", 90)
    assert second.wait_until_ready().metric("headrace_bridge_duplicates_dropped_total") == 0


def test_p8_another_program_that_reads_the_subscription_is_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    client = pulsar_library.Client(pulsar.service_url)
    client.subscribe(topic, SUBSCRIPTION, pulsar_library.ConsumerType.Failover, consumer_name="somebody")
    running = processes.start("bridge", bridge(valkey, pulsar, topic, "one"))
    wait_for(lambda: "somebody (" in running.log(), "it is named", 60)
    assert "what it gets does not come to Valkey" in running.log()
    client.close()
