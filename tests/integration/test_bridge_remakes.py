"""A source subscription that is deleted, a topic that is made anew or gets partitions, with real brokers and processes:
nothing is lost, doubled, or hidden."""

import json
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
    delete_subscription,
    delete_topic,
    grow_partitions,
    keep,
    publish,
    resource,
    rewind,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    """The name of a topic; the one for its dead letters exists."""
    name = f"persistent://public/default/remade-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return name


def bridge(
    valkey: Valkey, pulsar: Pulsar, topic: str, depth: int | None = None, delivery: Any = None, **source: Any
) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, **source}},
        "sink": {"valkey": {"list": {"key": LIST, **({"maxDepth": depth} if depth else {})}}},
        "delivery": {"durability": "Memory", **(delivery or {})},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "events", spec)


def numbered(where: str, first: int, last: int) -> list[bytes]:
    return [json.dumps([where, number]).encode() for number in range(first, last)]


def keyed(where: str, first: int, last: int) -> dict[str, bytes]:
    return {str(number): payload for number, payload in enumerate(numbered(where, first, last), first)}


class Taken:
    """What was taken out of the list, as its readers do."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._numbers: dict[str, list[int]] = {}

    def now(self) -> dict[str, list[int]]:
        """By where it came from, sorted."""
        with self._valkey.client() as client:
            while entries := client.rpop(LIST, 1000):
                for entry in entries:
                    where, number = json.loads(entry)
                    self._numbers.setdefault(where, []).append(number)
        return {where: sorted(numbers) for where, numbers in self._numbers.items()}

    def wait_for(self, **counts: int) -> None:
        """Wait until that many of each came, each once."""
        wanted = {where: list(range(count)) for where, count in counts.items()}
        wait_for(lambda: self.now() == wanted, f"{counts}, each once", 60)


@pytest.mark.parametrize("kind", ["Failover", "Shared"])
@pytest.mark.parametrize("partitions", [0, 2])
def test_p1_p2_p8_latest_counts_once_whoever_deletes_the_subscription_while_messages_wait(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str, partitions: int
) -> None:
    create_topic(pulsar, topic, partitions)
    keep(pulsar, topic)
    publish(pulsar, topic, keyed("old", 0, 100))
    small = {"batching": {"maxMessages": 50}}
    document = bridge(valkey, pulsar, topic, 450, initialPosition="Latest", subscriptionType=kind, **small)
    running = processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, keyed("new", 0, 1500), batched=False)

    def length() -> int:
        with valkey.client() as client:
            return int(client.llen(LIST))

    wait_for(lambda: length() == 450, "the list is full")
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) <= 1200, "what fits is acknowledged")
    delete_subscription(pulsar, topic, SUBSCRIPTION)
    Taken(valkey).wait_for(new=1500)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged")
    labels = {"topic": topic, "subscription": SUBSCRIPTION, "reason": "CursorMovedBack"}
    if kind == "Failover":
        assert running.metric("pulsar_consumer_failures_total", **labels) >= 1
        assert "the subscription was deleted and is made anew" in running.log()
    assert (
        running.metric("headrace_bridge_passed_over_total", reason="BeforeBeginning")
        + running.metric("headrace_bridge_duplicates_dropped_total", reason="Redelivered")
        >= 100
    )


@pytest.mark.parametrize("guarantee", ["EffectivelyOnce", "AtLeastOnce"])
@pytest.mark.parametrize("down", [False, True])
def test_p1_p8_latest_stays_where_it_was_when_nothing_came_before_the_subscription_is_deleted(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, guarantee: str, down: bool
) -> None:
    create_topic(pulsar, topic)
    keep(pulsar, topic)
    publish(pulsar, topic, numbered("old", 0, 100))
    document = bridge(valkey, pulsar, topic, None, {"guarantee": guarantee}, initialPosition="Latest")
    running = processes.start("bridge", document).wait_until_ready()
    if down:
        assert running.stop() == 0
    delete_subscription(pulsar, topic, SUBSCRIPTION)
    publish(pulsar, topic, numbered("new", 0, 50))
    if down:
        running = processes.start("bridge", document)
    Taken(valkey).wait_for(new=50)
    assert running.metric("headrace_bridge_passed_over_total", reason="BeforeBeginning") == 100
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0


def test_p2_p8_a_cursor_that_is_moved_back_brings_nothing_twice_and_that_is_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    create_topic(pulsar, topic)
    keep(pulsar, topic)
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    publish(pulsar, topic, numbered("a", 0, 100), batched=False)
    taken = Taken(valkey)
    taken.wait_for(a=100)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged")
    rewind(pulsar, topic, SUBSCRIPTION)
    wait_for(lambda: running.metric("pulsar_consumer_failures_total", reason="CursorMovedBack") == 1, "it is told")
    assert "to have it again, use spec.replay" in running.log()
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "nothing seems to wait that does not")
    publish(pulsar, topic, numbered("a", 100, 120))
    taken.wait_for(a=120)
    assert running.metric("headrace_bridge_duplicates_dropped_total", reason="Redelivered") == 100


def test_p1_p8_another_subscription_of_the_same_bridge_has_positions_of_its_own(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    create_topic(pulsar, topic)
    keep(pulsar, topic)
    publish(pulsar, topic, numbered("a", 0, 30))
    taken = Taken(valkey)
    running = processes.start("bridge", bridge(valkey, pulsar, topic, initialPosition="Latest")).wait_until_ready()
    publish(pulsar, topic, numbered("b", 0, 5))
    taken.wait_for(b=5)
    assert running.stop() == 0
    other = processes.start("bridge", bridge(valkey, pulsar, topic, subscription="other"))
    wait_for(lambda: taken.now() == {"a": list(range(30)), "b": sorted([*range(5), *range(5)])}, "all of the topic")
    assert other.metric("headrace_bridge_duplicates_dropped_total") == 0
    assert other.stop() == 0
    publish(pulsar, topic, numbered("b", 5, 7))
    processes.start("bridge", bridge(valkey, pulsar, topic, initialPosition="Latest"))
    wait_for(lambda: taken.now()["b"] == sorted([*range(7), *range(5)]), "what the first subscription had not yet")


LAYOUTS = [(0, 3), (2, 0), (0, 0), (2, 2), (3, 2)]


@pytest.mark.parametrize(("before", "after"), LAYOUTS)
@pytest.mark.parametrize("down", [False, True])
def test_p1_p2_a_topic_that_is_made_anew_is_read_whole_however_it_is_laid_out(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, before: int, after: int, down: bool
) -> None:
    create_topic(pulsar, topic, before)
    document = bridge(valkey, pulsar, topic, initialPosition="Latest")
    running = processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, keyed("first", 0, 40))
    taken = Taken(valkey)
    taken.wait_for(first=40)
    if down:
        assert running.stop() == 0
    delete_topic(pulsar, topic)
    create_topic(pulsar, topic, after)
    keep(pulsar, topic)
    publish(pulsar, topic, keyed("second", 0, 60))
    if down:
        running = processes.start("bridge", document)
    taken.wait_for(first=40, second=60)
    publish(pulsar, topic, keyed("second", 60, 80))
    taken.wait_for(first=40, second=80)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged")
    running.wait_until_ready()
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0


@pytest.mark.parametrize("kind", ["Failover", "Shared"])
def test_p1_p2_partitions_that_are_added_are_read_whole(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str
) -> None:
    create_topic(pulsar, topic, 1)
    document = bridge(valkey, pulsar, topic, initialPosition="Latest", subscriptionType=kind)
    processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, keyed("a", 0, 20))
    taken = Taken(valkey)
    taken.wait_for(a=20)
    grow_partitions(pulsar, topic, 4)
    publish(pulsar, topic, keyed("a", 20, 200))
    taken.wait_for(a=200)
