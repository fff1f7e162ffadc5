"""The circuit breaker: a destination that fails is left alone, tried again, and nothing is lost. With real brokers."""

import json
import uuid
from typing import Any, cast

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    connections,
    create_topic,
    payloads,
    publish,
    resource,
    wait_for,
)

THRESHOLD = 3
BREAKERS = "headrace:{test/guarded}:breaker"
CLOSED, OPEN = 0, 2


def bridge(valkey: Valkey, pulsar: Pulsar, source: Any, sink: Any) -> dict[str, Any]:
    guard = {"circuitBreaker": {"failureThreshold": THRESHOLD, "openSeconds": 2, "halfOpenProbes": 2}}
    return resource("PulsarBridge", "guarded", {"source": source, "sink": sink, **connections(valkey, pulsar), **guard})


def wait_for_state(process: Headrace, destination: str, state: int) -> None:
    wait_for(lambda: process.get("/livez")[0] == 200, "it is up", 60)
    wait_for(
        lambda: process.metric("headrace_bridge_breaker_state", destination=destination) == state,
        f"the breaker of {destination} is {state}",
        60,
    )


def known(valkey: Valkey, destination: str) -> dict[str, Any]:
    """What all replicas know of a destination."""
    with valkey.client() as client:
        found = cast(str | None, client.hget(BREAKERS, destination))
    return json.loads(found) if found else {}


def opened(processes: list[Headrace]) -> float:
    return sum(process.metric("headrace_bridge_breaker_opened_total") for process in processes)


def test_p1_p2_p5_a_topic_that_fails_is_left_alone_by_all_replicas(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = f"persistent://public/default/guarded-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{topic}-DLQ")
    document = bridge(valkey, pulsar, {"valkey": {"list": {"key": "orders"}}}, {"pulsar": {"topic": topic}})
    entries = [str(number) for number in range(500)]
    with valkey.client() as client:
        client.lpush("orders", *entries)
    running = [processes.start("bridge", document) for _ in range(2)]
    for each in running:
        wait_for_state(each, topic, OPEN)
    wait_for(lambda: opened(running) >= 3, "it was tried again, twice", 60)
    state = known(valkey, topic)
    # each time it was half-open one failure was enough to open it again: nobody hammers
    assert state["failures"] - THRESHOLD <= opened(running) - 1
    assert "TopicNotFound" in state["error"]
    assert all(each.get("/livez")[0] == 200 and each.get("/readyz")[0] == 503 for each in running)
    create_topic(pulsar, topic)
    wait_for(lambda: payloads(pulsar, topic) == entries, "everything arrived", 60)
    for each in running:
        wait_for_state(each, topic, CLOSED)
        each.wait_until_ready()
    assert known(valkey, topic) == {}


def test_p1_p2_p5_a_valkey_that_refuses_is_left_alone(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/guarded-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-s-DLQ")
    source = {"pulsar": {"topic": topic, "subscription": "s"}}
    with valkey.client() as client:
        client.set("orders", "not a list")
        running = processes.start("bridge", bridge(valkey, pulsar, source, {"valkey": {"list": {"key": "orders"}}}))
        entries = [str(number) for number in range(500)]
        publish(pulsar, topic, [entry.encode() for entry in entries])
        wait_for_state(running, "valkey", OPEN)
        assert "WRONGTYPE" in known(valkey, "valkey")["error"], "told to the operator"
        assert running.get("/livez")[0] == 200
        client.delete("orders")
        wait_for(lambda: client.llen("orders") >= len(entries), "everything arrived", 60)
        assert cast(list[str], client.lrange("orders", 0, -1))[::-1] == entries
    wait_for_state(running, "valkey", CLOSED)
    assert known(valkey, "valkey") == {}
