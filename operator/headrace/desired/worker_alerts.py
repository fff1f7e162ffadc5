"""The alerts of a ValkeyWorker."""

from headrace.api.valkey_worker import ValkeyWorker
from headrace.desired.alert import Alert
from headrace.desired.backlog import backlog, own, scraped
from headrace.desired.promql import seconds
from headrace.desired.workload import effective_replicas
from headrace.desired.workload_alerts import (
    DOWN_SECONDS,
    backlog_critical,
    backlog_growing,
    dead_letters,
    nobody_up,
    pods_down,
)

IDLE_SECONDS = 600
"""How long workers may take no new task although some wait; a longest task that is longer is respected."""


def worker_alerts(worker: ValkeyWorker) -> tuple[Alert, ...]:
    """All alerts of *worker*. Those about work that stands still are left out while it is meant to stand still."""
    alerts = [
        backlog_critical(worker, "HeadraceWorkerBacklogCritical", "tasks"),
        _failure_rate(worker),
        dead_letters(worker, "HeadraceWorkerDeadLetters", own("headrace_worker_dead_letters_total", worker), "tasks"),
    ]
    if effective_replicas(worker):
        alerts += [
            backlog_growing(worker, "HeadraceWorkerBacklogGrowing", "tasks"),
            _not_consuming(worker),
            pods_down(worker),
        ]
    return tuple(alerts)


def _failure_rate(worker: ValkeyWorker) -> Alert:
    limit = worker.spec.alerts.failures
    window = seconds(max(60, limit.for_seconds))
    return Alert(
        name="HeadraceWorkerFailureRate",
        severity="warning",
        expression=f"sum(rate({scraped('celery_task_failed_total', worker)}[{window}])) > {limit.rate_per_second}",
        for_seconds=limit.for_seconds,
        summary=f"Tasks of ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} fail",
        description=f"{{{{ $value | humanize }}}} tasks a second fail; the threshold is {limit.rate_per_second}.",
    )


def _not_consuming(worker: ValkeyWorker) -> Alert:
    """Pods are up, tasks wait, and nobody takes one: the way in which Celery dies without ending.

    A task that runs for hours on every slot looks the same, so the window is at least the time limit of a task.
    """
    window = seconds(max(IDLE_SECONDS, worker.celery.time_limit_seconds or 0))
    received = f"sum(increase({scraped('celery_task_received_total', worker)}[{window}])) > 0"
    return Alert(
        name="HeadraceWorkerNotConsuming",
        severity="critical",
        expression=f"{backlog(worker)} > 0 unless {received} unless {nobody_up(worker)}",
        for_seconds=DOWN_SECONDS,
        summary=f"ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} takes no tasks",
        description="{{ $value | humanize }} tasks wait, pods are up, and none of them has taken a task.",
    )
