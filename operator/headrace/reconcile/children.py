"""Which children to write, which to delete, and which names are taken. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.desired.difference import first_difference
from headrace.reconcile.kinds import Reference
from headrace.reconcile.outcome import status_of
from headrace.reconcile.ownership import Ownership, first_drift, ownership
from headrace.reconcile.plan import Apply, Delete, Event
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.verdicts import NameConflictError, PredecessorLeavingError


@dataclass(frozen=True)
class ChildPlan:
    """What is to be done to the children."""

    apply: tuple[Apply, ...] = ()
    delete: tuple[Delete, ...] = ()
    events: tuple[Event, ...] = ()
    problems: tuple[Exception, ...] = ()


def plan_children(
    snapshot: Snapshot,
    desired: Sequence[Mapping[str, Any]],
    *,
    hold: Iterable[str] = (),
    hold_new: Iterable[str] = (),
) -> ChildPlan:
    """Compare *desired* with the children that stand.

    *hold*: kinds to leave exactly as they are for now; *hold_new*: kinds not to make for now.
    """
    held, held_new = set(hold), set(hold_new)
    apply: list[Apply] = []
    problems: list[Exception] = []
    for body in desired:
        reference = Reference.of(body)
        live = snapshot.children.get(reference)
        if live is not None:
            problem = _name_problem(live, snapshot.body, reference)
            if problem:
                problems.append(problem)
                continue
        if reference.kind in held or (live is None and reference.kind in held_new):
            continue
        if live is None:
            apply.append(Apply(body, None))
        elif difference := first_drift(body, live):
            apply.append(Apply(body, live["metadata"]["uid"], difference))
    if problems:
        # Pods read their siblings by name: with one of those in other hands they must not be started or changed.
        apply = [each for each in apply if each.reference.kind != "Deployment"]
    events = [*_rollout_events(apply, snapshot), *_creation_events(apply)]
    if not events and _settled(snapshot):
        events = [*_correction_events(apply)]
    return ChildPlan(tuple(apply), _surplus(snapshot, desired), tuple(events), tuple(problems))


def _name_problem(live: Mapping[str, Any], resource: Mapping[str, Any], reference: Reference) -> Exception | None:
    match ownership(live, resource):
        case Ownership.OURS if live["metadata"].get("deletionTimestamp"):
            return PredecessorLeavingError(f"{reference} is being deleted and will be made again")
        case Ownership.OURS:
            return None
        case Ownership.PREDECESSOR:
            return PredecessorLeavingError(f"{reference} of a deleted resource of the same name is being removed")
        case Ownership.FOREIGN:
            return NameConflictError(
                f"{reference} exists and belongs to somebody else: delete or rename it, or rename this resource"
            )


def _surplus(snapshot: Snapshot, desired: Sequence[Mapping[str, Any]]) -> tuple[Delete, ...]:
    wanted = {Reference.of(body) for body in desired}
    return tuple(
        Delete(reference, live["metadata"]["uid"])
        for reference, live in sorted(snapshot.children.items())
        if reference not in wanted
        and not live["metadata"].get("deletionTimestamp")
        and ownership(live, snapshot.body) is Ownership.OURS
    )


def _rollout_events(apply: Sequence[Apply], snapshot: Snapshot) -> Iterable[Event]:
    """Say which field makes the pods roll. A changed ConfigMap names the resource's own field."""
    changed = {each.reference.kind: each for each in apply if each.live_uid}
    deployment = changed.get("Deployment")
    if deployment is None:
        return
    live = snapshot.children[deployment.reference]
    old, new = live["spec"]["template"], deployment.body["spec"]["template"]
    if first_drift({"metadata": {}, "template": new}, {"metadata": {}, "template": old}) is None:
        return
    cause = None
    if config := changed.get("ConfigMap"):
        cause = first_difference(
            {"data": snapshot.children[config.reference].get("data")}, {"data": config.body["data"]}
        )
    cause = cause or first_difference({"spec": {"template": old}}, {"spec": {"template": new}})
    yield Event("Normal", "RollingOut", f"Rolling out {deployment.reference}: {cause or deployment.difference}")


def _settled(snapshot: Snapshot) -> bool:
    """Whether this spec has been handled before, so that a difference is somebody else's doing."""
    observed = status_of(snapshot.body).get("observedGeneration")
    return bool(observed == snapshot.body["metadata"].get("generation"))


def _creation_events(apply: Sequence[Apply]) -> Iterable[Event]:
    made = [str(each.reference) for each in apply if each.live_uid is None]
    if made:
        yield Event("Normal", "Created", f"Created {', '.join(made)}")


def _correction_events(apply: Sequence[Apply]) -> Iterable[Event]:
    for each in apply:
        yield Event("Normal", "DriftCorrected", f"Corrected {each.reference}: {each.difference} was different")
