"""The worker's series, counted in the parent process: it sees every task, whatever the pool.

Names and labels of `celery_*` are celery-exporter's, so that its dashboards work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.celery.transport import refusals
from headrace.celery.transport.owner import counts

TASK = ("name", "hostname", "queue_name")


class WorkerMetrics:
    """One registry for the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        at: Any = {"registry": self.registry}
        self.received = Counter("celery_task_received", "Tasks received.", TASK, **at)
        self.started = Counter("celery_task_started", "Tasks started.", TASK, **at)
        self.succeeded = Counter("celery_task_succeeded", "Tasks that succeeded.", TASK, **at)
        self.failed = Counter("celery_task_failed", "Tasks that failed for good.", (*TASK, "exception"), **at)
        self.rejected = Counter("celery_task_rejected", "Messages given back or refused.", TASK, **at)
        self.retried = Counter("celery_task_retried", "Attempts that will be followed by another.", TASK, **at)
        self.revoked = Counter("celery_task_revoked", "Tasks not run: revoked, or expired.", TASK, **at)
        self.runtime = Histogram("celery_task_runtime", "Run time in seconds of tasks that succeeded.", TASK, **at)
        self.queue_length = Gauge(
            "celery_queue_length", "Tasks waiting in the queue, at every priority.", ["queue_name"], **at
        )
        self.in_flight = Gauge("headrace_worker_in_flight", "Tasks that the pods hold, of all queues.", **at)
        self.in_flight.set(math.nan)  # other brokers than Valkey do not tell
        self.worker_up = Gauge("celery_worker_up", "1 while this pod takes tasks.", ["hostname"], **at)
        self.tasks_active = Gauge("celery_worker_tasks_active", "Tasks that run in this pod.", ["hostname"], **at)
        self.active_consumers = Gauge(
            "celery_active_consumer_count", "Consumers of the queue in this pod.", ["queue_name"], **at
        )
        self.active_workers = Gauge(
            "celery_active_worker_count", "Workers of the queue in this pod.", ["queue_name"], **at
        )
        self.active_processes = Gauge(
            "celery_active_process_count", "Slots for tasks of the queue in this pod.", ["queue_name"], **at
        )
        self.dead_letters = Counter("headrace_worker_dead_letters", "Tasks given up for good.", ["reason"], **at)
        self.outbox_length = Gauge("headrace_worker_outbox_length", "Records that the bridge has not taken yet.", **at)
        self.consumers = Gauge("headrace_worker_consumers", "1 while this pod takes tasks.", **at)
        self.not_consuming = Gauge(
            "headrace_worker_not_consuming_seconds", "How long tasks wait while this pod holds none.", **at
        )
        self.restarts = Counter(
            "headrace_worker_not_consuming_restarts", "Restarts because this pod took no tasks.", ["what"], **at
        )
        self.beat_active = Gauge("headrace_worker_beat_active", "1 while this pod sends the periodic tasks.", **at)
        self.beat_sent = Counter("headrace_worker_beat_sent", "Periodic tasks sent by this pod.", ["entry"], **at)
        self.beat_skipped = Counter(
            "headrace_worker_beat_skipped", "Periodic tasks that could not be made.", ["entry"], **at
        )
        self.registry.register(_TransportCounts())
        self.last_task = Gauge(
            "headrace_worker_last_task_timestamp_seconds", "When a task last started or ended.", **at
        )

    def serving(self, hostname: str, queues: Sequence[str], slots: int) -> None:
        """Say whom this pod serves. No *slots*: nobody, any more."""
        self.consumers.set(bool(slots))
        self.worker_up.labels(hostname).set(bool(slots))
        for queue in queues:
            self.active_consumers.labels(queue).set(bool(slots))
            self.active_workers.labels(queue).set(bool(slots))
            self.active_processes.labels(queue).set(slots)


class _TransportCounts(Collector):
    """What the transport counted in this process."""

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            (
                "headrace_worker_restored",
                "Tasks of pods that were gone, given back to their queues.",
                counts.restored,
            ),
            ("headrace_worker_fenced", "Acknowledgements that came after the lease ran out.", counts.fenced),
            ("headrace_worker_lease_lapses", "Leases of this pod that ran out.", counts.lapses),
            (
                "headrace_worker_refusals",
                "Times that Valkey did not take a record, or a message back, or gave none of a list.",
                refusals.count(),
            ),
        ):
            yield CounterMetricFamily(name, text, value)
