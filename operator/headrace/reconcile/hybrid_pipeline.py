"""The plan of a HybridPipeline: three child resources, and what they say. Pure and total; it knows no broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.resource import InvalidResourceError, parse
from headrace.api.status import ConditionType, Reason, Status
from headrace.desired.names import child_name
from headrace.reconcile.children import plan_children
from headrace.reconcile.conditions import Finding, condition
from headrace.reconcile.desires import desired_children
from headrace.reconcile.kinds import Reference
from headrace.reconcile.outcome import Outcome, conclude, first_sight, status_of, unparsable
from headrace.reconcile.ownership import Ownership, ownership
from headrace.reconcile.plan import Plan
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.workload_outcome import alerts_finding, findings_of, suspended_finding

_STAGES = (
    ("ingest", "PulsarBridge", ConditionType.INGEST_READY),
    ("process", "ValkeyWorker", ConditionType.PROCESSING_READY),
    ("results", "PulsarBridge", ConditionType.RESULTS_READY),
)
_STAGE_CONDITIONS = tuple(kind for _, _, kind in _STAGES)


@dataclass(frozen=True)
class _Stage:
    """One stage and the child that stands for it."""

    name: str
    reference: Reference
    condition: ConditionType
    child: Mapping[str, Any] | None

    @property
    def status(self) -> Mapping[str, Any]:
        """The child's status, if it speaks of the child's present spec."""
        return status_of(self.child or {})

    @property
    def current(self) -> bool:
        """Whether the status speaks of the spec as it stands."""
        return self.child is not None and self.status.get("observedGeneration") == self.child["metadata"].get(
            "generation"
        )

    def number(self, name: str) -> int | None:
        """A live number of the child."""
        value = self.status.get(name)
        return value if isinstance(value, int) else None


def plan_hybrid_pipeline(snapshot: Snapshot, now: datetime) -> Plan:
    """What to do for the pipeline in *snapshot*."""
    try:
        pipeline = parse(HybridPipeline, snapshot.body)
        desired = desired_children(pipeline, snapshot.inputs)
    except InvalidResourceError as error:
        return unparsable(snapshot, error, now)
    if not status_of(snapshot.body):
        return first_sight(snapshot, now)
    children = plan_children(snapshot, desired)
    problems = (*snapshot.problems, *children.problems)
    stages = _stages(pipeline, snapshot)
    changing = {each.reference for each in children.apply}
    findings = [_finding(stage, changing) for stage in stages]
    findings += [
        *(replace(each, type=ConditionType.READY) for each in findings_of(problems, ConditionType.WORKLOAD_READY)),
        _available(stages, suspended=pipeline.spec.suspend),
        alerts_finding(pipeline.spec.alerts.enabled, snapshot),
        *suspended_finding(pipeline),
    ]
    plan = Plan(
        status={},
        apply=children.apply,
        delete=children.delete,
        events=children.events,
        problems=problems,
    )
    outcome = Outcome(
        findings,
        _STAGE_CONDITIONS,
        "All stages are ready",
        pipeline.spec.suspend,
        _fields(stages),
        Reason.STAGE_NOT_READY,
    )
    return conclude(snapshot, outcome, plan, now)


def _stages(pipeline: HybridPipeline, snapshot: Snapshot) -> list[_Stage]:
    stages = []
    for name, kind, reported in _STAGES:
        reference = Reference(kind, pipeline.metadata.namespace, child_name(pipeline.metadata.name, name))
        child = snapshot.children.get(reference)
        ours = child is not None and ownership(child, snapshot.body) is Ownership.OURS
        stages.append(_Stage(name, reference, reported, child if ours else None))
    return stages


def _finding(stage: _Stage, changing: set[Reference]) -> Finding:
    """The stage's condition: its child's Ready, with the child's own reason."""
    if stage.child is None:
        return Finding.unknown(stage.condition, f"{stage.reference} is not made yet")
    ready = condition(stage.status, ConditionType.READY)
    if ready is None or not stage.current or stage.reference in changing:
        return Finding.unknown(stage.condition, f"{stage.reference} is being worked on")
    message = f"{stage.reference}: {ready.get('message', '')}"
    reason = str(ready.get("reason"))
    if ready.get("status") == Status.TRUE:
        return Finding.good(stage.condition, message, reason)
    stalled = condition(stage.status, ConditionType.STALLED) is not None
    status = Status.UNKNOWN if ready.get("status") == Status.UNKNOWN else Status.FALSE
    return Finding(stage.condition, status, reason, message, stalled, status is Status.UNKNOWN)


def _available(stages: Sequence[_Stage], *, suspended: bool) -> Finding:
    kind = ConditionType.AVAILABLE
    if suspended:
        return Finding(kind, Status.FALSE, Reason.SUSPENDED, "Suspended: no pod should run")
    for stage in stages:
        available = condition(stage.status, kind)
        if available is None or available.get("status") != Status.TRUE:
            return Finding(kind, Status.FALSE, Reason.STAGE_NOT_READY, f"{stage.reference} does not serve")
    return Finding.good(kind, "All stages serve")


def _fields(stages: Sequence[_Stage]) -> dict[str, Any]:
    backlogs = {stage.name: stage.number("backlog") for stage in stages}
    known = {name: backlog for name, backlog in backlogs.items() if backlog is not None}
    letters = [count for stage in stages if (count := stage.number("deadLetters")) is not None]
    fullest = max(known, key=lambda name: known[name], default=None)
    return {
        "backlog": sum(known.values()) if known else None,
        # Both bridges count the same dead-letter topic, at slightly different moments.
        "deadLetters": max(letters, default=None),
        "bottleneck": fullest if fullest and known[fullest] > 0 else None,
        "stages": [_stage_status(stage) for stage in stages],
    }


def _stage_status(stage: _Stage) -> dict[str, Any]:
    ready = condition(stage.status, ConditionType.READY) or {}
    is_ready = stage.current and ready.get("status") == Status.TRUE
    row = {
        "name": stage.name,
        "kind": stage.reference.kind,
        "resource": stage.reference.name,
        "ready": is_ready,
        "backlog": stage.number("backlog"),
        "reason": None if is_ready else str(ready.get("reason") or Reason.PROGRESSING),
    }
    return {name: value for name, value in row.items() if value is not None}
