"""What workers and bridges say of themselves in common. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from headrace.api.status import ConditionType, Reason, Status
from headrace.desired.labels import selector_string
from headrace.desired.workload import Workload, effective_replicas, workload_name
from headrace.reconcile.conditions import Finding
from headrace.reconcile.kinds import Reference
from headrace.reconcile.ownership import Ownership, ownership
from headrace.reconcile.plan import Apply
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.verdicts import SecretNotFoundError, verdict
from headrace.reconcile.workload import judge_workload


def findings_of(problems: Iterable[Exception], *kinds: ConditionType) -> list[Finding]:
    """The findings of those *problems* that speak of *kinds*; the gravest of each kind."""
    found: dict[ConditionType, Finding] = {}
    for problem in problems:
        finding = Finding.of(problem)
        if finding.type not in kinds:
            continue
        other = found.get(finding.type)
        if other is None or (finding.stalled, not finding.progressing) > (other.stalled, not other.progressing):
            found[finding.type] = finding
    return list(found.values())


def connection_findings(problems: Iterable[Exception], good: str) -> list[Finding]:
    """ConnectionsReady."""
    return findings_of(problems, ConditionType.CONNECTIONS_READY) or [
        Finding.good(ConditionType.CONNECTIONS_READY, good)
    ]


def hold_for_secrets(snapshot: Snapshot) -> tuple[str, ...]:
    """With a Secret missing its hash is not known: a Deployment written now would roll pods into nothing."""
    return ("Deployment",) if any(isinstance(each, SecretNotFoundError) for each in snapshot.problems) else ()


def workload_findings(
    resource: Workload, snapshot: Snapshot, problems: Sequence[Exception], apply: Sequence[Apply]
) -> list[Finding]:
    """WorkloadReady, Available, AlertsReady, and Suspended while it is. *apply*: what is about to be written."""
    workload, available = judge_workload(
        _deployment(resource, snapshot),
        effective_replicas(resource),
        snapshot.pods,
        suspended=resource.spec.suspend,
    )
    if any(each.reference.kind == "Deployment" and each.live_uid for each in apply):
        # What the Deployment says of itself is about the template that is just being replaced.
        workload = Finding(workload.type, Status.FALSE, Reason.PROGRESSING, "Rolling out a change", progressing=True)
    own = findings_of(problems, ConditionType.WORKLOAD_READY) or [workload]
    return [*own, available, alerts_finding(resource.spec.alerts.enabled, snapshot), *suspended_finding(resource)]


def suspended_finding(resource: Any) -> list[Finding]:
    """Suspended, while it is."""
    if not resource.spec.suspend:
        return []
    message = "spec.suspend is true: no pod runs, and messages stay where they are"
    return [Finding.good(ConditionType.SUSPENDED, message, Reason.SUSPENDED)]


def alerts_finding(enabled: bool, snapshot: Snapshot) -> Finding:
    """AlertsReady; it never holds Ready back."""
    kind = ConditionType.ALERTS_READY
    if not enabled:
        return Finding(kind, Status.FALSE, Reason.DISABLED, "spec.alerts.enabled is false")
    if not snapshot.inputs.monitoring:
        message = "The Prometheus operator's CRDs (PodMonitor, PrometheusRule) are not installed"
        return Finding(kind, Status.FALSE, Reason.PROMETHEUS_OPERATOR_MISSING, message)
    return Finding.good(kind, "The PrometheusRule stands")


def workload_fields(resource: Workload, snapshot: Snapshot) -> dict[str, Any]:
    """The status fields that workers and bridges share."""
    deployment = _deployment(resource, snapshot)
    status = (deployment or {}).get("status") or {}
    return {
        "replicas": int(status.get("replicas") or 0),
        "readyReplicas": int(status.get("readyReplicas") or 0),
        "selector": selector_string(resource),
        "backlog": snapshot.numbers.backlog,
        "deadLetters": snapshot.numbers.dead_letters,
    }


def blocking(problems: Iterable[Exception]) -> bool:
    """Whether any of *problems* keeps a workload from being started for the first time."""
    early = (ConditionType.CONNECTIONS_READY, ConditionType.TOPICS_READY, ConditionType.SUBSCRIPTIONS_READY)
    return any(verdict(problem).condition in early for problem in problems)


def _deployment(resource: Workload, snapshot: Snapshot) -> Any:
    reference = Reference("Deployment", resource.metadata.namespace, workload_name(resource))
    live = snapshot.children.get(reference)
    if live is None or ownership(live, snapshot.body) is not Ownership.OURS:
        return None
    return live
