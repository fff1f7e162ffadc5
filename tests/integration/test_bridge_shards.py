"""A source in shards, which the replicas share, with real brokers and real processes."""

import asyncio
import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.bridge import shard_key
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Processes, connections, create_topic, payloads, resource, wait_for

SHARDS = 4
PREFIX = "headrace:{test/orders}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/shards-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, source: dict[str, Any] | None = None) -> Any:
    spec = {
        "source": {"valkey": source or {"list": {"key": "orders", "shards": SHARDS}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "orders", spec)


def shared_by(valkey: Valkey, processes: Processes, *expected: int) -> None:
    """Wait until every shard has its lease, and the living replicas say that they move so many."""

    def spread() -> list[int]:
        with valkey.client() as client:
            owners = [client.get(f"{PREFIX}:shard-{number}:lease") for number in range(SHARDS)]
        if not all(owners):
            return []
        moving = [said(one.log()) for one in processes.started if one.process.poll() is None]
        return sorted(number for number in moving if number)

    wait_for(lambda: spread() == sorted(expected), f"the shards are spread {expected}", 40)


def said(log: str) -> int:
    """How many shards a replica moves, by what it said last of each."""
    moving: dict[str, bool] = {}
    for line in log.splitlines():
        name, _, text = json.loads(line)["message"].partition(": ")
        if name.startswith("orders:"):
            for words, is_moving in (("moving to", True), ("giving it", False), ("standing by", False)):
                if words in text:
                    moving[name] = is_moving
    return sum(moving.values())


@contextmanager
def traffic(valkey: Valkey) -> Iterator[list[str]]:
    """Pushes numbered entries of twelve keys to their shards; gives those that were pushed."""
    stop = threading.Event()
    sent: list[str] = []

    def run() -> None:
        with valkey.client() as client:
            while not stop.wait(0.002):
                key = f"key-{len(sent) % 12}"
                entry = f"{key} {len(sent)}"
                client.lpush(shard_key("orders", key, SHARDS), entry)
                sent.append(entry)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def assert_once_in_order(pulsar: Pulsar, topic: str, sent: list[str]) -> None:
    wait_for(lambda: set(payloads(pulsar, topic)) >= set(sent), "everything arrived", 60)
    found = payloads(pulsar, topic)
    assert Counter(found) == Counter(sent)
    for key in {entry.split()[0] for entry in sent}:
        numbers = [int(entry.split()[1]) for entry in found if entry.split()[0] == key]
        assert numbers == sorted(numbers), key


def test_p1_p2_replicas_share_shards_and_take_over_those_of_the_dead(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    first = processes.start("bridge", document)
    shared_by(valkey, processes, 4)
    with traffic(valkey) as sent:
        processes.start("bridge", document)
        shared_by(valkey, processes, 2, 2)
        first.kill()
        shared_by(valkey, processes, 4)
        processes.start("bridge", document)
        processes.start("bridge", document)
        shared_by(valkey, processes, 2, 1, 1)
        processes.started[1].signal(signal.SIGTERM)
        shared_by(valkey, processes, 2, 2)
    assert_once_in_order(pulsar, topic, sent)


def test_p1_p2_a_frozen_replica_that_wakes_up_does_no_harm_to_shards(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    first, second = (processes.start("bridge", document) for _ in range(2))
    with traffic(valkey) as sent:
        shared_by(valkey, processes, 2, 2)
        first.signal(signal.SIGSTOP)
        wait_for(lambda: said(second.log()) == SHARDS, "the other moves all", 40)
        first.signal(signal.SIGCONT)
        wait_for(lambda: "another replica holds the lease; standing by" in first.log(), "it is refused")
        shared_by(valkey, processes, 2, 2)
    assert_once_in_order(pulsar, topic, sent)


def test_p7_a_shard_that_is_no_list_harms_no_other_and_recovers(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.set("orders:1", "a string")
        for number in (0, 2, 3):
            client.lpush(f"orders:{number}", f"entry {number}")
        client.lpush("orders", "from the time before the shards")
        running = processes.start("bridge", bridge(valkey, pulsar, topic))
        arrived = ["entry 0", "entry 2", "entry 3", "from the time before the shards"]
        wait_for(lambda: sorted(payloads(pulsar, topic)) == arrived, "the others")
        wait_for(lambda: "orders:1: valkey: WrongType: " in running.get("/readyz")[1], "it says which")
        assert "orders:1: valkey does not serve us: WrongType: " in running.log()
        assert running.metric("headrace_bridge_side_failures_total", side="valkey", reason="WrongType") > 0
        client.delete("orders:1")
        client.lpush("orders:1", "entry 1")
        wait_for(lambda: "entry 1" in payloads(pulsar, topic), "it goes on by itself")
        wait_for(lambda: running.get("/readyz")[0] == 200, "all are well")
        client.lpush("orders:2", *("x" for _ in range(3)))
        wait_for(lambda: running.metric("headrace_bridge_forwarded_total", status="success") == 8, "all are moved")


def test_the_operator_adds_up_the_backlogs_of_shards(valkey: Valkey, pulsar: Pulsar, topic: str) -> None:
    document = bridge(valkey, pulsar, topic)
    with valkey.client() as client:
        for number in range(SHARDS):
            client.lpush(f"orders:{number}", *range(number + 1))
        client.lpush("orders", "old")
        client.rpush(f"{PREFIX}:shard-2:cut", "flying")
    numbers = asyncio.run(ask_valkey(parse(PulsarBridge, document), Credentials()))
    assert (numbers.backlog, numbers.in_flight) == (11, 1)


def test_a_stream_in_shards_arrives_once(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    source = {"stream": {"key": "clicks", "shards": 2, "payloadField": "body"}}
    with valkey.client() as client:
        for number in range(300):
            client.xadd(shard_key("clicks", str(number), 2), {"body": str(number)})
    running = processes.start("bridge", bridge(valkey, pulsar, topic, source))
    wait_for(lambda: len(payloads(pulsar, topic)) >= 300, "all arrive")
    assert sorted(map(int, payloads(pulsar, topic))) == list(range(300))
    wait_for(lambda: running.metric("headrace_bridge_in_flight") == 0, "nothing is in flight")
