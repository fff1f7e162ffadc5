"""From findings to the plan: the status with its conditions, the events on change, the next attempt. Pure and total."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from headrace.api.resource import ANNOTATION_RECONCILE_REQUESTED_AT, InvalidResourceError
from headrace.api.status import ConditionType, Reason, Status
from headrace.reconcile.conditions import Finding, condition, render, summarize
from headrace.reconcile.kinds import Key
from headrace.reconcile.plan import Event, Plan
from headrace.reconcile.snapshot import Snapshot

SOON = 1.0
"""Seconds until the pass that sees what this one started."""


@dataclass(frozen=True)
class Outcome:
    """What a planner found out."""

    findings: Sequence[Finding]
    required: Sequence[ConditionType]
    """The conditions that Ready needs."""
    ready: str = "All is as declared"
    """Ready's message when all is well."""
    suspended: bool = False
    """Whether being well means that nothing runs."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Status fields beside the common ones; None leaves one out."""
    collective_reason: str | None = None
    """Ready's reason when a part is not ready; None: the part's own reason."""


def conclude(snapshot: Snapshot, outcome: Outcome, plan: Plan, now: datetime) -> Plan:
    """*plan* with status, the events of Ready's changes, and the time of the next attempt."""
    status = build_status(snapshot.body, outcome, now)
    events = (*plan.events, *_transition(status_of(snapshot.body), status))
    soon = SOON if plan.writes and plan.requeue_after is None else plan.requeue_after
    return replace(plan, status=status, events=events, requeue_after=soon)


def build_status(body: Mapping[str, Any], outcome: Outcome, now: datetime) -> dict[str, Any]:
    """The whole status."""
    metadata = _mapping(body, "metadata")
    generation = metadata.get("generation")
    generation = generation if isinstance(generation, int) and generation > 0 else 0
    requested = _mapping(metadata, "annotations").get(ANNOTATION_RECONCILE_REQUESTED_AT)
    well = Finding.good(ConditionType.READY, outcome.ready)
    if outcome.suspended:
        well = Finding.good(ConditionType.READY, "Suspended, as spec.suspend says", Reason.SUSPENDED)
    findings = summarize(outcome.findings, outcome.required, well, outcome.collective_reason)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": render(findings, status_of(body), generation, now),
        "lastHandledReconcileAt": requested,
        **outcome.fields,
    }
    return {name: value for name, value in status.items() if value is not None}


def status_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status as it stands; empty when there is none."""
    return _mapping(body, "status")


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a body of whatever shape; empty when it is no mapping."""
    part = body.get(name)
    return part if isinstance(part, Mapping) else {}


def first_sight(snapshot: Snapshot, now: datetime) -> Plan:
    """For a resource without a status: say at once that work is under way, before anything slow begins.

    A resource without a Ready condition passes for healthy (kstatus), and ``kubectl wait`` would return too early.
    """
    finding = Finding.unknown(ConditionType.READY, "Seen, and being worked on")
    return Plan(status=build_status(snapshot.body, Outcome([finding], []), now), requeue_after=0.0)


def unparsable(snapshot: Snapshot, error: InvalidResourceError, now: datetime) -> Plan:
    """For a spec that cannot be used: Stalled; whatever runs is left alone."""
    outcome = Outcome([Finding.of(error)], [])
    plan = Plan(status={}, problems=(error,))
    return conclude(snapshot, outcome, plan, now)


def with_failures(plan: Plan, snapshot: Snapshot, failures: Iterable[Exception], now: datetime) -> Plan:
    """*plan* after some of its writes failed: the failures' conditions replace what was hoped for."""
    failed = [Finding.of(failure) for failure in failures]
    kept = [
        Finding(ConditionType(each["type"]), Status(each["status"]), each["reason"], each["message"])
        for each in plan.status.get("conditions", ())
        if each["type"] not in {finding.type for finding in failed}
        and each["type"] not in (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
    ]
    fields = {
        name: value
        for name, value in plan.status.items()
        if name not in ("conditions", "observedGeneration", "lastHandledReconcileAt")
    }
    required = [finding.type for finding in failed]
    status = build_status(snapshot.body, Outcome([*kept, *failed], required, fields=fields), now)
    events = tuple(_transition(status_of(snapshot.body), status))
    return replace(plan, status=status, problems=(*plan.problems, *failures), events=events)


def _transition(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Event]:
    """An event when Ready changes its status or its reason; none on the way from not ready to not ready yet."""
    old = condition(before, ConditionType.READY) or {}
    new = condition(after, ConditionType.READY) or {}
    if (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason")):
        return
    if new.get("status") == Status.TRUE:
        yield Event("Normal", "Ready", str(new.get("message")))
    elif new.get("reason") != Reason.PROGRESSING:
        yield Event("Warning", str(new.get("reason")), str(new.get("message")))


def key_of(body: Mapping[str, Any]) -> Key:
    """The key of a resource's body."""
    metadata = _mapping(body, "metadata")
    return Key(str(body.get("kind")), str(metadata.get("namespace", "default")), str(metadata.get("name")))
