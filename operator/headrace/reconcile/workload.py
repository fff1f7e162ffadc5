"""What a Deployment and its pods say about the workload. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.api.status import ConditionType, Reason, Status
from headrace.reconcile.conditions import Finding
from headrace.reconcile.snapshot import PodFacts

_WORKLOAD = ConditionType.WORKLOAD_READY
_AVAILABLE = ConditionType.AVAILABLE


def judge_workload(
    deployment: Mapping[str, Any] | None, replicas: int, pods: Sequence[PodFacts], *, suspended: bool
) -> tuple[Finding, ...]:
    """WorkloadReady and Available. *deployment*: as it stands, None when there is none yet."""
    if deployment is None:
        return (
            Finding.unknown(_WORKLOAD, "The Deployment is not made yet"),
            Finding(_AVAILABLE, Status.FALSE, Reason.PODS_UNAVAILABLE, "No pod runs yet"),
        )
    status = deployment.get("status") or {}
    return (_rollout(deployment, status, replicas, pods), _availability(status, replicas, suspended=suspended))


def _availability(status: Mapping[str, Any], replicas: int, *, suspended: bool) -> Finding:
    available = int(status.get("availableReplicas") or 0)
    if suspended:
        return Finding(_AVAILABLE, Status.FALSE, Reason.SUSPENDED, "Suspended: no pod should run")
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    if conditions.get("Available") == "True" or available >= replicas:
        return Finding.good(_AVAILABLE, f"Enough of {replicas} pods serve")
    return Finding(_AVAILABLE, Status.FALSE, Reason.PODS_UNAVAILABLE, f"{available} of {replicas} pods serve")


def _rollout(
    deployment: Mapping[str, Any], status: Mapping[str, Any], replicas: int, pods: Sequence[PodFacts]
) -> Finding:
    seen = status.get("observedGeneration") == deployment["metadata"].get("generation")
    updated = int(status.get("updatedReplicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    total = int(status.get("replicas") or 0)
    if seen and updated == replicas == available == total:
        return Finding.good(_WORKLOAD, f"{replicas} of {replicas} pods are up")
    failing = next((pod for pod in pods if pod.failure and not pod.ready), None)
    if failing:
        return Finding(_WORKLOAD, Status.FALSE, Reason.PODS_FAILING, f"{failing.name}: {failing.failure}")
    waiting = next((pod for pod in pods if pod.waiting), None)
    if waiting:
        message = f"{waiting.name}: {waiting.waiting}"
        return Finding(_WORKLOAD, Status.FALSE, Reason.PODS_UNAVAILABLE, message)
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    progress, refused = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    if refused.get("status") == "True":
        message = str(refused.get("message"))
        return Finding(_WORKLOAD, Status.FALSE, Reason.PODS_UNAVAILABLE, message)
    message = f"{min(updated, available)} of {replicas} pods are up"
    rolled_out = progress.get("reason") == "NewReplicaSetAvailable"
    if seen and (progress.get("status") == "False" or (rolled_out and updated == replicas == total)):
        return Finding(_WORKLOAD, Status.FALSE, Reason.PODS_UNAVAILABLE, message)
    return Finding(_WORKLOAD, Status.FALSE, Reason.PROGRESSING, message, progressing=True)


_WAITING_REASONS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def pod_facts(pod: Mapping[str, Any]) -> PodFacts:
    """What matters of a Pod object."""
    status = pod.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    waiting = None
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        waiting = f"not scheduled: {scheduled.get('message')}"
    failures = [_failure(container) for container in status.get("containerStatuses") or ()]
    return PodFacts(
        name=pod["metadata"]["name"],
        ready=conditions.get("Ready", {}).get("status") == "True",
        failure=next((failure for failure in failures if failure), None),
        waiting=waiting,
    )


def _failure(container: Mapping[str, Any]) -> str | None:
    """Why a container does not run: the image, or what it said when it ended last."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _WAITING_REASONS:
        # Pull errors alternate between two reasons, with growing waits in their text: one stable sentence is enough.
        if waiting["reason"] in ("ErrImagePull", "ImagePullBackOff"):
            return f"image {container.get('image')} cannot be pulled (ImagePullBackOff)"
        return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        ended = state.get("terminated")
        if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
            said = " ".join(str(ended.get("message") or "").split())
            return said or f"ended with exit code {ended.get('exitCode')} ({ended.get('reason', 'Error')})"
    return None
