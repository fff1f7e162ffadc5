"""A topic is not another one of the same name: of another cluster, or made anew. Real brokers, real processes."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from testbed.loopback import HOST, free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_subscription,
    create_topic,
    keep,
    publish,
    resource,
    topic_account,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"
DEAD_LETTERS = "persistent://public/default/dead"


class Cluster(Pulsar):
    """A cluster that can be reached by an address that another one has, too, one after the other."""

    def __init__(self, directory: Path, way: Proxy) -> None:
        super().__init__(directory)
        self._way = way
        [self.way_port] = free_ports(1)

    def advertised(self) -> str:
        """Who comes by the way is told to come by it again."""
        return (
            f"internalListenerName=straight\nbindAddresses=way:pulsar://{HOST}:{self.way_port}\n"
            f"advertisedListeners=straight:{self.service_url},way:pulsar://{HOST}:{self._way.port}\n"
        )

    @property
    def http_port(self) -> int:
        """Of the admin API."""
        return self._http_port


@dataclass(frozen=True)
class Clusters:
    """Two that count their ledgers alike, and the address that leads to one of them."""

    first: Cluster
    second: Cluster
    way: Proxy
    admin_way: Proxy

    def lead_to(self, cluster: Cluster) -> None:
        """From now on the address leads there."""
        self.admin_way.lead_to(cluster.http_port)
        self.way.lead_to(cluster.way_port)

    def connections(self, valkey: Valkey) -> dict[str, Any]:
        """By the address."""
        by_way = {
            "serviceUrl": f"pulsar://{HOST}:{self.way.port}",
            "adminUrl": f"http://{HOST}:{self.admin_way.port}",
        }
        return {"valkey": {"url": valkey.url}, "pulsar": by_way}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    directory = tmp_path_factory.mktemp("clusters")
    with Proxy(0) as way, Proxy(0) as admin_way, ExitStack() as stack:
        first, second = (stack.enter_context(Cluster(directory / name, way)) for name in ("first", "second"))
        for each in (first, second):
            create_topic(each, DEAD_LETTERS)
        yield Clusters(first, second, way, admin_way)
        for each in (first, second):
            each.kill()


@pytest.fixture
def first(clusters: Clusters) -> Pulsar:
    return clusters.first


@pytest.fixture
def second(clusters: Clusters) -> Pulsar:
    return clusters.second


@pytest.fixture
def stem() -> str:
    return f"persistent://public/default/again-{uuid.uuid4().hex[:8]}"


def bridge(valkey: Valkey, broker: Pulsar, topic: str, **source: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, **source}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        "delivery": {"durability": "Memory"},
        "deadLetter": {"topic": DEAD_LETTERS},
        **connections(valkey, broker),
    }
    return resource("PulsarBridge", "events", spec)


def numbered(where: str, first: int, last: int) -> list[bytes]:
    return [json.dumps([where, number]).encode() for number in range(first, last)]


def arrived(valkey: Valkey) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with valkey.client() as client:
        for entry in client.lrange(LIST, 0, -1)[::-1]:
            where, number = json.loads(entry)
            found.setdefault(where, []).append(number)
    return {where: sorted(numbers) for where, numbers in found.items()}


def wait_for_numbers(valkey: Valkey, **counts: int) -> None:
    wanted = {where: list(range(count)) for where, count in counts.items()}
    wait_for(lambda: arrived(valkey) == wanted, f"{counts}, each once", 60)


def ledger(broker: Pulsar, topic: str) -> int:
    """The last ledger of a topic."""
    found = topic_account(broker, topic)[topic.rpartition("/")[2]]["internal"]["ledgers"]
    return int(found[-1]["ledgerId"])


def alike(brokers: tuple[Pulsar, Pulsar], stem: str) -> str:
    """The name of a new topic that has the same ledger in both clusters: each counts for itself."""
    for number in range(20):
        name = f"{stem}-{number}"
        found = [ledger(broker, create_topic(broker, name, deduplication=False)) for broker in brokers]
        if found[0] == found[1]:
            return name
        behind = brokers[found.index(min(found))]
        for unused in range(abs(found[0] - found[1])):
            create_topic(behind, f"{name}-{unused}", deduplication=False)
    raise AssertionError("the clusters never count alike")


def fill(broker: Pulsar, topic: str, where: str, number: int, *, batched: bool = False) -> None:
    keep(broker, topic)
    publish(broker, topic, numbered(where, 0, number), batched=batched)


@pytest.mark.parametrize("kind", ["Failover", "Shared", "KeyShared"])
@pytest.mark.parametrize("more", [13, 80])
def test_p1_p8_the_messages_of_another_cluster_are_never_taken_for_those_of_the_first(
    valkey: Valkey, first: Pulsar, second: Pulsar, stem: str, processes: Processes, kind: str, more: int
) -> None:
    name = alike((first, second), stem)
    fill(first, name, "first", 30)
    fill(second, name, "second", more)
    running = processes.start("bridge", bridge(valkey, first, name, subscriptionType=kind))
    wait_for_numbers(valkey, first=30)
    wait_for(lambda: backlog(first, name, SUBSCRIPTION) == 0, "all is acknowledged")
    assert running.stop() == 0
    moved = processes.start("bridge", bridge(valkey, second, name, subscriptionType=kind))
    wait_for_numbers(valkey, first=30, second=more)
    assert moved.metric("headrace_bridge_duplicates_dropped_total") == 0
    assert moved.metric("pulsar_consumer_failures_total", topic=name, reason="TopicReplaced") == 1
    assert f"{name} was made anew, or is that of another cluster" in moved.log()
    wait_for(lambda: backlog(second, name, SUBSCRIPTION) == 0, "all is acknowledged")
    publish(second, name, numbered("second", more, more + 5))
    wait_for_numbers(valkey, first=30, second=more + 5)


@pytest.mark.parametrize("kind", ["Failover", "Shared"])
@pytest.mark.parametrize("durability", ["Memory", "Fsync"])
@pytest.mark.parametrize("more", [13, 80])
def test_p1_p8_another_cluster_behind_the_same_address_is_noticed_while_the_bridge_runs(
    valkey: Valkey, clusters: Clusters, stem: str, processes: Processes, kind: str, durability: str, more: int
) -> None:
    first, second = clusters.first, clusters.second
    name = alike((first, second), stem)
    fill(first, name, "first", 30)
    clusters.lead_to(first)
    document = bridge(valkey, first, name, subscriptionType=kind)
    document["spec"] |= clusters.connections(valkey)
    document["spec"]["delivery"]["durability"] = durability
    running = processes.start("bridge", document)
    wait_for_numbers(valkey, first=30)
    if durability == "Memory":
        wait_for(lambda: backlog(first, name, SUBSCRIPTION) == 0, "all is acknowledged")
    else:
        publish(first, name, numbered("first", 30, 40))  # acknowledgements are due when the cluster is another one
        wait_for_numbers(valkey, first=40)
    fill(second, name, "second", more)
    clusters.lead_to(second)
    wait_for_numbers(valkey, first=30 if durability == "Memory" else 40, second=more)
    wait_for(lambda: backlog(second, name, SUBSCRIPTION) == 0, "all is acknowledged")
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0
    assert running.metric("pulsar_consumer_failures_total", topic=name, reason="TopicReplaced") == 1
    publish(second, name, numbered("second", more, more + 5))
    wait_for(lambda: arrived(valkey)["second"] == list(range(more + 5)), "it goes on")


def bury(broker: Pulsar, letters: str, topic: str, where: str, count: int) -> None:
    """Letters of *topic*, one by one as bridges write them."""
    create_subscription(broker, letters, DEAD_LETTER_SUBSCRIPTION)
    marks = {"REAL_TOPIC": topic, "HEADRACE_REASON": "Timeout", "HEADRACE_ATTEMPTS": "1"}
    publish(broker, letters, numbered(where, 0, count), batched=False, properties=marks)


def replaying(valkey: Valkey, broker: Pulsar, topic: str, letters: str, identity: str, **replay: Any) -> dict[str, Any]:
    document = bridge(valkey, broker, topic)
    document["spec"] |= {
        "deadLetter": {"topic": letters},
        "replay": {"id": identity, "from": "DeadLetter", **replay},
    }
    return document


def phase(valkey: Valkey, identity: str) -> str:
    with valkey.client() as client:
        return str(client.hget(f"headrace:{{test/events}}:replay:{identity}", "phase"))


def test_p1_letters_that_bear_the_names_of_replayed_ones_go_back_too(
    valkey: Valkey, first: Pulsar, second: Pulsar, stem: str, processes: Processes
) -> None:
    topic, letters = alike((first, second), stem), alike((first, second), f"{stem}-letters")
    for broker, where, count in ((first, "first", 5), (second, "second", 8)):
        bury(broker, letters, topic, where, count)
    running = processes.start("bridge", replaying(valkey, first, topic, letters, "a"))
    wait_for_numbers(valkey, first=5)
    wait_for(lambda: phase(valkey, "a") == "Completed", "it is over")
    assert running.stop() == 0
    processes.start("bridge", replaying(valkey, second, topic, letters, "b"))
    wait_for_numbers(valkey, first=5, second=8)
    wait_for(lambda: backlog(second, letters, DEAD_LETTER_SUBSCRIPTION) == 0, "all is acknowledged")


@pytest.mark.parametrize("more", [3, 60])
def test_p1_p8_a_run_whose_dead_letters_are_others_ends_and_says_so(
    valkey: Valkey, first: Pulsar, second: Pulsar, stem: str, processes: Processes, more: int
) -> None:
    topic, letters = alike((first, second), stem), alike((first, second), f"{stem}-letters")
    for broker, where, count in ((first, "first", 30), (second, "second", more)):
        bury(broker, letters, topic, where, count)
    running = processes.start("bridge", replaying(valkey, first, topic, letters, "a", ratePerSecond=2))
    wait_for(lambda: len(arrived(valkey).get("first", [])) > 3, "some went back")
    assert running.stop() == 0
    moved = processes.start("bridge", replaying(valkey, second, topic, letters, "a", ratePerSecond=2))
    wait_for(lambda: phase(valkey, "a") == "Failed", "it ends")
    assert f"{letters} was made anew, or is that of another Pulsar cluster, since the run began" in moved.log()
    assert backlog(second, letters, DEAD_LETTER_SUBSCRIPTION) == more
    assert moved.stop() == 0
    processes.start("bridge", replaying(valkey, second, topic, letters, "b"))
    wait_for(lambda: arrived(valkey).get("second") == list(range(more)), "all go back")


def test_p1_messages_of_two_clusters_with_one_id_are_two_tasks(
    valkey: Valkey, first: Pulsar, second: Pulsar, stem: str, processes: Processes
) -> None:
    topic = alike((first, second), stem)
    for broker, where in ((first, "first"), (second, "second")):
        fill(broker, topic, where, 5)
        create_subscription(broker, topic, SUBSCRIPTION)
        document = bridge(valkey, broker, topic)
        document["spec"]["sink"] = {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}}
        running = processes.start("bridge", document)
        wait_for(lambda broker=broker: backlog(broker, topic, SUBSCRIPTION) == 0, "all are tasks")  # type: ignore[misc]
        assert running.stop() == 0
    with valkey.client() as client:
        heads = [json.loads(entry)["headers"] for entry in client.lrange(LIST, 0, -1)]
    assert len({head["headrace"]["messageId"] for head in heads}) == 5
    assert len({head["id"] for head in heads}) == 10
