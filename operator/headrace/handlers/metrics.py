"""The series of a worker with plain handlers. Every sample also carries ``namespace`` and ``name``."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class HandlerMetrics:
    """One registry for the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        at: Any = {"registry": self.registry}
        self.received = Counter("headrace_worker_received", "Messages taken, each attempt anew.", **at)
        self.succeeded = Counter("headrace_worker_succeeded", "Messages that were handled.", **at)
        self.failed = Counter("headrace_worker_failed", "Messages that failed for good.", ["exception"], **at)
        self.retried = Counter("headrace_worker_retried", "Attempts that will be followed by another.", **at)
        self.dead_letters = Counter("headrace_worker_dead_letters", "Messages given up for good.", ["reason"], **at)
        self.seconds = Histogram("headrace_worker_seconds", "Run time of the handler in seconds.", **at)
        self.backlog = Gauge("headrace_worker_backlog", "Messages that wait, and are due.", **at)
        self.in_flight = Gauge("headrace_worker_in_flight", "Messages that this pod works on.", **at)
        self.leases_lost = Counter(
            "headrace_worker_leases_lost",
            "Messages that another pod had taken over when this one was done; what this one made was not recorded.",
            **at,
        )
        self.discarded = Counter(
            "headrace_worker_dropped",
            "Messages that were lost where nothing keeps them: channels without room, stream entries cut off in work.",
            ["reason"],
            **at,
        )
        self.gaps = Counter("headrace_worker_gaps", "Times when nobody was subscribed to the channels.", **at)
        self.refusals = Counter("headrace_worker_refusals", "Times that Valkey did not take a record.", **at)
        self.outbox_length = Gauge("headrace_worker_outbox_length", "Records that the bridge has not taken yet.", **at)
        self.consumers = Gauge("headrace_worker_consumers", "1 while this pod takes messages.", **at)
