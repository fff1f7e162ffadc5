from typing import Any

import pytest

from headrace.reconcile.snapshot import PodFacts
from headrace.reconcile.workload import judge_workload, pod_facts
from tests.unit.reconcile.bodies import deployment_status


def judged(*pods: PodFacts, generation: int = 1, replicas: int = 2, **changes: Any) -> tuple[tuple[str, str], ...]:
    """(status, reason) of WorkloadReady and Available."""
    deployment = {"metadata": {"generation": generation}, "status": {**deployment_status(2), **changes}}
    return tuple((each.status, each.reason) for each in judge_workload(deployment, replicas, pods, suspended=False))


ROLLING = [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]
LATE = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
REFUSED = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]


def test_a_workload_that_is_up() -> None:
    assert judged() == (("True", "Succeeded"), ("True", "Succeeded"))


def test_an_unseen_template_is_on_its_way_while_the_old_pods_serve() -> None:
    assert judged(generation=2) == (("False", "Progressing"), ("True", "Succeeded"))


@pytest.mark.parametrize(
    ("conditions", "reason"), [(ROLLING, "Progressing"), (LATE, "PodsUnavailable"), (REFUSED, "PodsUnavailable")]
)
def test_pods_that_are_not_up_yet(conditions: list[Any], reason: str) -> None:
    assert judged(availableReplicas=1, conditions=conditions) == (("False", reason), ("False", "PodsUnavailable"))


def test_a_pod_that_falls_out_later_is_unavailable_and_not_progressing() -> None:
    assert judged(availableReplicas=1)[0] == ("False", "PodsUnavailable")


def test_failing_pods_come_before_slow_ones() -> None:
    failing = PodFacts("p2", ready=False, failure="boom")
    assert judged(PodFacts("p1", ready=True, failure="old"), failing, availableReplicas=1)[0][1] == "PodsFailing"


def container(**state: Any) -> dict[str, Any]:
    """A Pod with one container."""
    status = {"image": "app:1", "state": {}, **state}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}


ENDED = {"terminated": {"exitCode": 78, "reason": "Error", "message": "No module\nnamed shop."}}


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "x"}}}, "(ImagePullBackOff)"),
        ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "y"}}}, "(ImagePullBackOff)"),
        ({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}}, "no secret"),
        ({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ENDED}, "No module named shop."),
        ({"state": {"running": {}}, "lastState": ENDED}, "No module named shop."),
        ({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}, "exit code 137 (OOMKilled)"),
    ],
)
def test_what_a_container_said(state: dict[str, Any], failure: str) -> None:
    assert failure in str(pod_facts(container(**state)).failure)


@pytest.mark.parametrize(
    "state",
    [{"state": {"running": {}}}, {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
)
def test_a_container_without_fault(state: dict[str, Any]) -> None:
    assert pod_facts(container(**state)).failure is None


def test_an_unschedulable_pod_says_why() -> None:
    pod = container()
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    ]
    facts = pod_facts(pod)
    assert facts.waiting == "not scheduled: 0/1 nodes"
    assert judged(facts, availableReplicas=1)[0][1] == "PodsUnavailable"
