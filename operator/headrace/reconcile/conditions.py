"""Turns findings into conditions, and conditions into Ready. Pure.

The rules are kstatus' and Flux's: Ready always stands; Reconciling and Stalled stand only while true and never both;
with either of them Ready is not True; Ready=Unknown goes with Reconciling; a condition's transition time moves only
when its status does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from headrace.api.status import ConditionType, Reason, Status
from headrace.reconcile.verdicts import verdict

_LONGEST_MESSAGE = 4096

_LEADING = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
"""Before all others in the list; the others follow in the order of the enum."""


@dataclass(frozen=True)
class Finding:
    """One condition but for its times."""

    type: ConditionType
    status: Status
    reason: str
    message: str
    stalled: bool = False
    """Whether only the user can change it."""
    progressing: bool = False
    """Whether it is about to pass by itself."""

    @classmethod
    def good(cls, kind: ConditionType, message: str, reason: str = Reason.SUCCEEDED) -> "Finding":
        """True."""
        return cls(kind, Status.TRUE, reason, message)

    @classmethod
    def unknown(cls, kind: ConditionType, message: str) -> "Finding":
        """Not known yet: something before it is missing."""
        return cls(kind, Status.UNKNOWN, Reason.PROGRESSING, message, progressing=True)

    @classmethod
    def of(cls, problem: Exception) -> "Finding":
        """What *problem* makes of its condition."""
        judged = verdict(problem)
        return cls(judged.condition, Status.FALSE, judged.reason, str(problem), judged.stalled, judged.progressing)


def summarize(
    findings: Sequence[Finding],
    required: Iterable[ConditionType],
    well: Finding,
    collective_reason: str | None = None,
) -> list[Finding]:
    """*findings* with Ready, and Reconciling or Stalled where due.

    Ready takes the worst of the *required* conditions: one that only the user can change before one that waits, and
    that before one that is on its way. *well* is Ready when all is well; *collective_reason* stands for the reason of
    a part that is not ready and not on its way.
    """
    wanted = set(required) | {ConditionType.READY}
    open_ends = [finding for finding in findings if finding.type in wanted and finding.status is not Status.TRUE]
    others = [finding for finding in findings if finding.type is not ConditionType.READY]
    if not open_ends:
        return [well, *others]
    worst = min(open_ends, key=lambda finding: (not finding.stalled, finding.progressing))
    if collective_reason and worst.type is not ConditionType.READY and not worst.progressing:
        worst = replace(worst, reason=collective_reason)
    if worst.stalled:
        head = [
            Finding(ConditionType.READY, Status.FALSE, worst.reason, worst.message),
            Finding(ConditionType.STALLED, Status.TRUE, worst.reason, worst.message),
        ]
    elif worst.progressing:
        head = [
            Finding(ConditionType.READY, Status.UNKNOWN, worst.reason, worst.message),
            Finding(ConditionType.RECONCILING, Status.TRUE, worst.reason, worst.message),
        ]
    else:
        head = [Finding(ConditionType.READY, Status.FALSE, worst.reason, worst.message)]
    return [*head, *others]


def render(
    findings: Iterable[Finding], previous: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions as they stand in the status. *previous*: the status so far, for the transition times."""
    old = {condition.get("type"): condition for condition in conditions_of(previous)}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = {finding.type: finding for finding in findings}
    rendered = []
    for finding in sorted(unique.values(), key=_place):
        before = old.get(finding.type, {})
        same = before.get("status") == finding.status and before.get("lastTransitionTime")
        rendered.append(
            {
                "type": str(finding.type),
                "status": str(finding.status),
                "reason": str(finding.reason),
                "message": finding.message[:_LONGEST_MESSAGE],
                "lastTransitionTime": before["lastTransitionTime"] if same else stamp,
                "observedGeneration": generation,
            }
        )
    return rendered


def _place(finding: Finding) -> int:
    order = (*_LEADING, *ConditionType)
    return order.index(finding.type)


def conditions_of(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions in a status of whatever shape."""
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    if not isinstance(conditions, list):
        return []
    return [each for each in conditions if isinstance(each, Mapping) and isinstance(each.get("type"), str)]


def condition(status: Mapping[str, Any], kind: ConditionType) -> Mapping[str, Any] | None:
    """One condition of a status; None when it does not stand."""
    return next((each for each in conditions_of(status) if each.get("type") == kind), None)
