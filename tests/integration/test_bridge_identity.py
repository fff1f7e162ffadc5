"""An identity that can be had twice: resources of one namespace and name, in two clusters or one after the other."""

import uuid
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
    resource,
    wait_for,
)

PREFIX = "headrace:{test/orders}"
TWIN = "another resource of this namespace and name works with the same Valkey (uid "


def new_topic(pulsar: Pulsar, partitions: int = 0) -> str:
    name = f"persistent://public/default/twin-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name, partitions)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, uid: str = "1", **source: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders", **source}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
    }
    made = resource("PulsarBridge", "orders", spec)
    made["metadata"]["uid"] = uid
    return made


def push(valkey: Valkey, entries: list[str], key: str = "orders") -> None:
    with valkey.client() as client:
        client.lpush(key, *entries)


def refused(process: Headrace, uid: str) -> bool:
    status, text = process.get("/readyz")
    return status == 503 and f"{TWIN}{uid}," in text


@pytest.mark.parametrize("shards", [0, 3], ids=["a list", "shards"])
def test_p2_p8_a_twin_of_another_cluster_on_the_same_valkey_moves_nothing_and_says_why(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, shards: int
) -> None:
    ours, theirs = new_topic(pulsar), new_topic(pulsar)
    source = {"shards": shards} if shards else {}
    keys = [f"orders:{number}" for number in range(shards)] or ["orders"]
    first = processes.start("bridge", bridge(valkey, pulsar, ours, "1", **source)).wait_until_ready()
    twin = processes.start("bridge", bridge(valkey, pulsar, theirs, "2", **source))
    wait_for(lambda: refused(twin, "1"), "the twin is told")
    assert twin.get("/livez")[0] == 200
    for key in keys:
        push(valkey, [f"{key} {number}" for number in range(500)], key)
    wait_for(lambda: len(payloads(pulsar, ours)) == 500 * len(keys), "the first one moves all of it")
    assert first.get("/readyz")[0] == 200
    assert payloads(pulsar, theirs) == []


def test_p1_p2_a_resource_that_was_made_anew_takes_over_what_was_in_flight(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = new_topic(pulsar, 2)
    entries = [f"entry {number}" for number in range(9000)]
    push(valkey, entries)
    old = processes.start(
        "bridge", bridge(valkey, pulsar, topic, "1"), deadly="headrace.bridge.publisher:Transmission.wait#2"
    )
    assert old.process.wait(30) == -9
    with valkey.client() as client:  # as if its pods still lived when the new ones start, however slow this machine is
        client.hset(f"{PREFIX}:identity", "held-until", int(client.time()[0] + 20) * 1000)
    anew = processes.start("bridge", bridge(valkey, pulsar, topic, "2"))
    wait_for(lambda: refused(anew, "1"), "it waits until the old one's pods are gone")
    with valkey.client() as client:
        wait_for(lambda: client.llen("orders") + client.llen(f"{PREFIX}:cut") == 0, "everything is moved")
    assert sorted(payloads(pulsar, topic)) == sorted(entries)
    anew.wait_until_ready()
    again = processes.start("bridge", bridge(valkey, pulsar, topic, "1"))
    wait_for(lambda: refused(again, "2"), "the old one does not come back meanwhile")
