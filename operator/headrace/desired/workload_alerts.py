"""Alerts that workers and bridges have alike."""

from headrace.desired.alert import Alert
from headrace.desired.backlog import backlog, scraped
from headrace.desired.promql import seconds
from headrace.desired.workload import Workload

GROWING_SECONDS = 900
"""How long a backlog must grow before somebody hears of it."""
DEAD_LETTER_SECONDS = 600
"""How long a new dead letter keeps its alert up."""
DOWN_SECONDS = 300
"""How long an outage may last, which a rollout or a restarted broker also causes."""


def backlog_critical(resource: Workload, name: str, what: str) -> Alert:
    """Too much waits. It holds while the resource is suspended too: whoever suspended it may have forgotten."""
    limit = resource.spec.alerts.backlog
    return Alert(
        name=name,
        severity="critical",
        expression=f"{backlog(resource)} > {limit.threshold}",
        for_seconds=limit.for_seconds,
        summary=f"Too many {what} wait for {_title(resource)}",
        description=f"{{{{ $value | humanize }}}} {what} wait, and the threshold is {limit.threshold}.",
    )


def backlog_growing(resource: Workload, name: str, what: str) -> Alert:
    """The early warning: between a tenth of the threshold and the threshold, and growing all the time."""
    limit = resource.spec.alerts.backlog.threshold
    waiting = backlog(resource)
    window = seconds(GROWING_SECONDS)
    return Alert(
        name=name,
        severity="warning",
        expression=f"deriv({waiting}[{window}:60s]) > 0 and {waiting} > {limit // 10} <= {limit}",
        for_seconds=GROWING_SECONDS,
        summary=f"More {what} come in than {_title(resource)} takes",
        description=f"The backlog grows by {{{{ $value | humanize }}}} {what} a second.",
    )


def dead_letters(resource: Workload, name: str, counter: str, what: str) -> Alert:
    """Something was given up."""
    return Alert(
        name=name,
        severity="warning",
        expression=risen(counter),
        for_seconds=0,
        summary=f"{_title(resource)} gave {what} up",
        description=f"{{{{ $value | humanize }}}} {what} became dead letters in ten minutes: {{{{ $labels.reason }}}}.",
    )


def risen(counter: str) -> str:
    """PromQL that holds for each reason for which *counter* rose in the last ten minutes.

    A counter may be born with its first event, which no increase shows, so births count too.
    """
    window = seconds(DEAD_LETTER_SECONDS)
    increased = f"sum by (reason) (increase({counter}[{window}])) > 0"
    born = f"(sum by (reason) ({counter}) > 0 unless sum by (reason) ({counter} offset {window}))"
    return f"{increased} or {born}"


def pods_down(resource: Workload) -> Alert:
    """No pod answers. By Prometheus' own series, which exists whatever state the pods are in."""
    return Alert(
        name="HeadracePodsDown",
        severity="critical",
        expression=nobody_up(resource),
        for_seconds=DOWN_SECONDS,
        summary=f"No pod of {_title(resource)} answers",
        description="Prometheus reaches no pod of it: there is none, none starts, or none is scraped.",
    )


def nobody_up(resource: Workload) -> str:
    """PromQL that holds while no pod of *resource* answers Prometheus; without labels."""
    return f"absent({scraped('up', resource)} == 1)"


def _title(resource: Workload) -> str:
    return f"{resource.kind} {resource.metadata.namespace}/{resource.metadata.name}"
