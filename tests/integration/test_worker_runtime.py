"""How `headrace worker` runs Celery: its pools, its end, and a consumer that went deaf."""

import json
import os
import signal
import socket

import pytest

from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, wait_for
from tests.integration.test_worker_celery import (
    PREFIX,
    QUEUE,
    held,
    order,
    records,
    runs,
    runtime,
    start,
    wait_for_records,
    wait_until_settled,
    worker,
)

POOLS = ("Prefork", "Threads", "Solo", "Gevent")


def waiting(valkey: Valkey) -> list[str]:
    """The orders in the queue."""
    with valkey.client() as client:
        return sorted(json.loads(json.loads(entry)["body"])[0][0]["id"] for entry in client.lrange(QUEUE, 0, -1))


@pytest.mark.parametrize(("pool", "stubborn"), [*((pool, False) for pool in POOLS), ("Prefork", True)])
def test_p1_sigterm_lets_a_task_finish_and_gives_the_rest_back(
    valkey: Valkey, processes: Processes, pool: str, stubborn: bool
) -> None:
    """Also with a second SIGTERM; what waits for its time goes back at once, what runs too long in the end."""
    celery = runtime(pool, results={"enabled": False}, notConsumingSeconds=5)  # it looks at Valkey each second
    document = worker(valkey, terminationGracePeriodSeconds=12, celery=celery)
    running = start(processes, valkey, document).wait_until_ready()
    order(valkey, id="later", eta="2100-01-01T00:00:00+00:00")
    order(valkey, id="long", seconds=600, stubborn=stubborn)
    wait_for(lambda: running.metric("headrace_worker_in_flight") == 2, "both are counted")
    wait_for(lambda: runs(valkey, "long"), "the long one runs")
    if pool != "Solo":
        order(valkey, id="short", seconds=2)
        wait_for(lambda: runs(valkey, "short"), "the short one runs")
    running.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in running.log(), "it stops")
    running.signal(signal.SIGTERM)
    order(valkey, id="new")
    if pool != "Solo":  # its one slot is the consumer's own thread
        wait_for(lambda: waiting(valkey) == ["later", "new"], "what only waited is given back", 6.5)
    assert running.process.wait(15) == 0
    assert [record["payload"]["id"] for record in records(valkey)] == ([] if pool == "Solo" else ["short"])
    assert waiting(valkey) == ["later", "long", "new"]
    assert running.log().count("stopping; running tasks have") == 1
    assert ("did not end in time" in running.log()) == (stubborn or pool != "Prefork")
    assert held(valkey) == 0
    with valkey.client() as client:
        assert not client.exists(f"{PREFIX}:deliveries"), "no attempt is counted"


@pytest.mark.parametrize(("multiplier", "most"), [(1, 2), (4, 8)])
def test_a_pod_holds_as_many_tasks_as_it_was_told(
    valkey: Valkey, processes: Processes, multiplier: int, most: int
) -> None:
    for number in range(20):
        order(valkey, id=f"{number}", seconds=600)
    start(processes, valkey, worker(valkey, celery=runtime("Threads", prefetchMultiplier=multiplier)))
    wait_for(lambda: runs(valkey, "0") + runs(valkey, "1") == 2, "two run")
    wait_for(lambda: held(valkey) == most, f"{most} are held")
    assert len(waiting(valkey)) == 20 - most


@pytest.mark.parametrize("pool", POOLS)
def test_p1_sigterm_of_a_worker_whose_tasks_end_in_time(valkey: Valkey, processes: Processes, pool: str) -> None:
    running = start(processes, valkey, worker(valkey, celery=runtime(pool))).wait_until_ready()
    order(valkey, id="short", seconds=1)
    wait_for(lambda: runs(valkey, "short"), "it runs")
    assert running.stop() == 0
    assert [record["payload"]["id"] for record in records(valkey)] == ["short"]
    wait_until_settled(valkey)


def test_a_child_that_grew_is_replaced(valkey: Valkey, processes: Processes) -> None:
    document = worker(valkey, celery={"concurrency": 1, "maxMemoryPerChildMebibytes": 1})
    start(processes, valkey, document).wait_until_ready()
    for number in range(3):
        order(valkey, id=f"o{number}", process=True)
    payloads = [record["payload"] for record in wait_for_records(valkey, 3)]
    assert len({payload["process"] for payload in payloads}) == 3


def test_p5_a_deaf_consumer_connects_anew_and_if_that_does_not_help_starts_anew(
    valkey: Valkey, processes: Processes
) -> None:
    document = worker(valkey, celery={"app": "tests.integration.deaf_tasks:app", "notConsumingSeconds": 5})

    def deaf(connections: int) -> Headrace:
        environment = {"SHOP_VALKEY": valkey.url, "DEAF": str(connections)}
        return processes.start("worker", document, environment=environment).wait_until_ready()

    count = f"{PREFIX}:restarts:shop@{socket.gethostname()}"
    with valkey.client() as client:
        client.set(count, 3)
    hopeless = deaf(1000)
    order(valkey, id="first")
    with valkey.client() as client:  # one of them has another priority
        client.rename(QUEUE, f"{QUEUE}\x06\x163")
    order(valkey, id="second")
    wait_for(lambda: hopeless.metric("celery_queue_length", queue_name=QUEUE) == 2, "both are counted")
    wait_for(lambda: hopeless.metric("headrace_worker_not_consuming_seconds") > 0, "it is noticed")
    wait_for(lambda: restarts(hopeless, "Consumer") == 1, "it connects anew")
    wait_for(lambda: "3 new starts did not help" in hopeless.log(), "it stays: there were enough in this hour")
    with valkey.client() as client:
        client.delete(count)
    assert hopeless.process.wait(30) == os.EX_SOFTWARE
    with valkey.client() as client:
        assert (client.get(count), client.ttl(count) > 3000) == ("1", True)
    assert "connecting anew did not help" in hopeless.termination()
    assert waiting(valkey) == ["second"]
    healed = deaf(1)
    assert sorted(record["payload"]["id"] for record in wait_for_records(valkey, 2)) == ["first", "second"]
    assert restarts(healed, "Consumer") == 1
    assert restarts(healed, "Process") == 0
    assert healed.process.poll() is None


def restarts(running: Headrace, what: str) -> float:
    return running.metric("headrace_worker_not_consuming_restarts_total", what=what)
