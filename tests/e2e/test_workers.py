"""Celery workers on real pods: scaled in while busy, deleted by force; urgent tasks first, each queue its share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headrace.api.task_count import PRIORITY_SUFFIXES
from headrace.bridge.envelope import envelopes
from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.manifests import worker

STEPS = dict(zip((0, 3, 6, 9), PRIORITY_SUFFIXES, strict=True))
"""The priorities, and what stands behind a queue's name for them."""


@contextmanager
def running(cluster: Cluster, name: str, *, pool: str, queues: list[str], **changes: Any) -> Iterator[None]:
    celery = {
        "app": "orders:app",
        "concurrency": 1 if pool == "Solo" else 2,
        "pool": pool,
        "queues": [{"name": queue} for queue in queues],
        "results": {"enabled": False},
    }
    cluster.apply(worker(name, celery=celery, outbox={"key": f"{name}-results", "tasks": ["orders.price"]}, **changes))
    try:
        yield
    finally:
        cluster.delete("vkw", name)


def order(cluster: Cluster, queue: str, orders: list[dict[str, Any]], priority: int = 0) -> None:
    """Queue orders as a bridge does."""
    envelope = envelopes("orders.price", queue)
    lines = [envelope(one["order_id"], json.dumps(one).encode(), b'"eta":null').decode() for one in orders]
    cluster.push(queue + STEPS[priority], lines)


def results(cluster: Cluster, name: str) -> list[str]:
    """The ids in the order of their results."""
    records = [json.loads(entry) for entry in cluster.valkey("LRANGE", f"{name}-results", "0", "-1")[::-1]]
    assert [record for record in records if record["reason"]] == []
    return [record["payload"]["order_id"] for record in records]


def test_p1_p2_scaled_in_while_busy_nothing_is_lost_or_begun_again(namespace: Cluster) -> None:
    orders: list[dict[str, Any]] = [
        {"order_id": f"scaled-{number:02}", "seconds": 3, "note": f"run-{number:02}"} for number in range(30)
    ]
    changes = {"replicas": 3, "terminationGracePeriodSeconds": 40}
    with running(namespace, "scaled", pool="Prefork", queues=["scaled"], **changes):
        namespace.wait_condition("vkw", "scaled", "Ready")
        order(namespace, "scaled", orders)
        wait_until(lambda: len(results(namespace, "scaled")) >= 4, "all pods are busy")
        namespace.kubectl("scale", "vkw", "scaled", "--replicas=1")
        wait_until(lambda: len(results(namespace, "scaled")) >= len(orders), "all results")
        wait_until(lambda: len(namespace.objects("pods", "headrace.dev/name=scaled")) == 1, "one pod is left")
        assert sorted(results(namespace, "scaled")) == [one["order_id"] for one in orders]
        runs = namespace.valkey("MGET", *(one["note"] for one in orders))
        assert runs == ["1"] * len(orders), "a task was begun again"


def test_p1_p2_pods_deleted_by_force_lose_nothing_and_double_nothing(namespace: Cluster) -> None:
    orders = [{"order_id": f"forced-{number:03}", "seconds": 0.2} for number in range(200)]
    with running(namespace, "forced", pool="Prefork", queues=["forced"], replicas=2):
        namespace.wait_condition("vkw", "forced", "Ready")
        order(namespace, "forced", orders)
        for enough in (20, 100):
            wait_until(lambda enough=enough: len(results(namespace, "forced")) >= enough, f"{enough} results")  # type: ignore[misc]
            namespace.kubectl(
                "delete", "pod", "-l", "headrace.dev/name=forced", "--grace-period=0", "--force", "--wait=false"
            )
        wait_until(lambda: len(results(namespace, "forced")) >= len(orders), "all results")
        assert sorted(results(namespace, "forced")) == [one["order_id"] for one in orders]


def test_m1_urgent_tasks_run_first_and_each_queue_gets_its_share(namespace: Cluster) -> None:
    with running(namespace, "shared", pool="Solo", queues=["shared", "other"], suspend=True):
        namespace.wait_condition("vkw", "shared", "Suspended")
        for priority in (9, 6, 3):
            order(namespace, "shared", [{"order_id": f"{priority}-{number}"} for number in range(5)], priority)
        order(namespace, "shared", [{"order_id": f"0-{number}"} for number in range(60)])
        order(namespace, "other", [{"order_id": f"o-{number}"} for number in range(10)])
        namespace.kubectl("patch", "vkw", "shared", "--type=merge", "-p", '{"spec":{"suspend":null}}')
        wait_until(lambda: len(results(namespace, "shared")) >= 85, "all results")
        found = results(namespace, "shared")
    kinds = [name.partition("-")[0] for name in found]
    assert kinds[70:] == ["3"] * 5 + ["6"] * 5 + ["9"] * 5
    assert kinds[:30].count("o") == 10, f"the short queue waited for the long one: {kinds}"
    assert [name for name in found if name.startswith("0-")] == [f"0-{number}" for number in range(60)]
