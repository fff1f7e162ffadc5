"""The alerts of a ValkeyWorker."""

from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode
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
    risen,
)

IDLE_SECONDS = 600
"""How long workers may take no new task although some wait; a longest task that is longer is respected."""


def worker_alerts(worker: ValkeyWorker) -> tuple[Alert, ...]:
    """All alerts of *worker*. Those about work that stands still are left out while it is meant to stand still."""
    what = _what(worker)
    alerts = [
        backlog_critical(worker, "HeadraceWorkerBacklogCritical", what),
        _failure_rate(worker),
        dead_letters(worker, "HeadraceWorkerDeadLetters", own("headrace_worker_dead_letters_total", worker), what),
    ]
    if worker.spec.pub_sub or worker.spec.stream:
        alerts.append(_messages_lost(worker))
    if effective_replicas(worker):
        alerts += [
            backlog_growing(worker, "HeadraceWorkerBacklogGrowing", what),
            _not_consuming(worker),
            pods_down(worker),
        ]
        if worker.spec.celery and worker.spec.celery.beat.enabled:
            alerts.append(_beat_inactive(worker))
    return tuple(alerts)


def _what(worker: ValkeyWorker) -> str:
    return "tasks" if worker.spec.mode is Mode.CELERY else "messages"


def _failed(worker: ValkeyWorker) -> str:
    if worker.spec.mode is Mode.CELERY:
        return scraped("celery_task_failed_total", worker)
    return own("headrace_worker_failed_total", worker)


def _received(worker: ValkeyWorker) -> str:
    if worker.spec.mode is Mode.CELERY:
        return scraped("celery_task_received_total", worker)
    return own("headrace_worker_received_total", worker)


def _failure_rate(worker: ValkeyWorker) -> Alert:
    limit = worker.spec.alerts.failures
    window, what = seconds(max(60, limit.for_seconds)), _what(worker)
    return Alert(
        name="HeadraceWorkerFailureRate",
        severity="warning",
        expression=f"sum(rate({_failed(worker)}[{window}])) > {limit.rate_per_second}",
        for_seconds=limit.for_seconds,
        summary=f"{what.capitalize()} of ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} fail",
        description=f"{{{{ $value | humanize }}}} {what} a second fail; the threshold is {limit.rate_per_second}.",
    )


def _messages_lost(worker: ValkeyWorker) -> Alert:
    """What a channel published did not reach us or found no room, or a stream was cut short under our hands."""
    dropped, gaps = own("headrace_worker_dropped_total", worker), own("headrace_worker_gaps_total", worker)
    return Alert(
        name="HeadraceWorkerMessagesLost",
        severity="warning",
        expression=f"{risen(dropped)} or {risen(gaps)}",
        for_seconds=0,
        summary=f"ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} lost messages",
        description="In ten minutes {{ with $labels.reason }}{{ $value | humanize }} messages were lost: {{ . }}"
        "{{ else }}nobody was subscribed for a while{{ end }}.",
    )


def _not_consuming(worker: ValkeyWorker) -> Alert:
    """Pods are up, tasks wait, and nobody takes one: the way in which Celery dies without ending.

    A task that runs for hours on every slot looks the same, so the window is at least the time limit of a task.
    """
    longest = worker.celery.time_limit_seconds or 0 if worker.spec.mode is Mode.CELERY else 0
    window, what = seconds(max(IDLE_SECONDS, longest)), _what(worker)
    received = f"sum(increase({_received(worker)}[{window}])) > 0"
    return Alert(
        name="HeadraceWorkerNotConsuming",
        severity="critical",
        expression=f"{backlog(worker)} > 0 unless {received} unless {nobody_up(worker)}",
        for_seconds=DOWN_SECONDS,
        summary=f"ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} takes no {what}",
        description=f"{{{{ $value | humanize }}}} {what} wait, pods are up, and none of them has taken one.",
    )


def _beat_inactive(worker: ValkeyWorker) -> Alert:
    """Pods are up, and none of them sends the periodic tasks: nothing fails, so nothing else would say it."""
    active = own("headrace_worker_beat_active", worker)
    return Alert(
        name="HeadraceWorkerBeatInactive",
        severity="critical",
        expression=f"sum({active}) < 1 unless {nobody_up(worker)}",
        for_seconds=DOWN_SECONDS,
        summary=f"No pod of ValkeyWorker {worker.metadata.namespace}/{worker.metadata.name} sends the periodic tasks",
        description="Pods are up, and none of them sends what beat_schedule says.",
    )
