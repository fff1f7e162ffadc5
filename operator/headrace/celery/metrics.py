"""The worker's series, counted in the parent process: it sees every task, whatever the pool.

Names and labels of `celery_*` are celery-exporter's, so that its dashboards work.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
        self.runtime = Histogram("celery_task_runtime", "Run time in seconds of tasks that succeeded.", TASK, **at)
        self.queue_length = Gauge("celery_queue_length", "Tasks waiting in the queue.", ["queue_name"], **at)
        self.dead_letters = Counter("headrace_worker_dead_letters", "Tasks given up for good.", ["reason"], **at)
        self.outbox_length = Gauge("headrace_worker_outbox_length", "Records that the bridge has not taken yet.", **at)
        self.consumers = Gauge("headrace_worker_consumers", "1 while this pod takes tasks.", **at)
        self.last_task = Gauge(
            "headrace_worker_last_task_timestamp_seconds", "When a task last started or ended.", **at
        )
