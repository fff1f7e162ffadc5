from dataclasses import replace
from typing import Any

import pytest

from headrace.desired.inputs import Inputs
from headrace.reconcile.kinds import Reference
from headrace.reconcile.snapshot import Numbers, PodFacts, Snapshot
from headrace.reconcile.verdicts import (
    SecretNotFoundError,
    ValkeyAuthenticationFailedError,
    ValkeyUnreachableError,
)
from tests.unit.reconcile.bodies import EARLIER, INPUTS, body, kinds, live, message, plan, states

DEPLOYMENT = Reference("Deployment", "shop", "x-worker")


def test_first_sight_says_that_work_is_under_way_and_writes_nothing_else() -> None:
    made = plan(Snapshot(body("ValkeyWorker", status=False), INPUTS))
    assert states(made) == {"Ready": ("Unknown", "Progressing"), "Reconciling": ("True", "Progressing")}
    assert not made.writes
    assert made.requeue_after == 0


def test_a_new_worker_gets_its_children() -> None:
    made = plan(Snapshot(body("ValkeyWorker"), INPUTS))
    assert kinds(made) == ["ConfigMap", "Service", "Deployment"]
    assert states(made)["Ready"] == ("Unknown", "Progressing")
    assert [event.reason for event in made.events] == ["Created"]


def test_p3_a_converged_worker_writes_nothing() -> None:
    made = body("ValkeyWorker")
    first = plan(Snapshot(made, INPUTS, live(made)))
    assert states(first)["Ready"] == ("True", "Succeeded")
    settled = plan(Snapshot({**made, "status": first.status}, INPUTS, live(made)))
    assert not settled.writes
    assert settled.events == ()
    assert settled.status == first.status


def test_a_transition_time_moves_only_with_the_status() -> None:
    made = body("ValkeyWorker")
    ready = {"type": "Ready", "status": "True", "reason": "Other", "message": "m", "lastTransitionTime": EARLIER}
    made["status"]["conditions"] = [ready]
    settled = plan(Snapshot(made, INPUTS, live(made)))
    assert settled.status["conditions"][0]["lastTransitionTime"] == EARLIER
    broken = plan(Snapshot(made, INPUTS, live(made), problems=(ValkeyUnreachableError("away"),)))
    assert broken.status["conditions"][0]["lastTransitionTime"] == "2026-11-21T12:00:00Z"


def test_a_changed_spec_is_not_ready_before_its_pods_are() -> None:
    old = body("ValkeyWorker")
    new = body("ValkeyWorker", generation=2, replicas=3)
    made = plan(Snapshot(new, INPUTS, live(old)))
    assert {"Deployment"} <= set(kinds(made))
    assert states(made)["Ready"] == ("Unknown", "Progressing")


@pytest.mark.parametrize(
    ("change", "inputs", "cause"),
    [
        ({"celery": {"app": "shop.other:app", "queues": [{"name": "pricing"}]}}, INPUTS, "spec.celery.app"),
        ({}, replace(INPUTS, secrets_hash="s2"), "the contents of a referenced Secret changed"),
        ({}, replace(INPUTS, worker_image="worker:2"), "worker:1 -> worker:2"),
    ],
)
def test_a_rollout_names_the_field_that_caused_it(change: dict[str, Any], inputs: Inputs, cause: str) -> None:
    old = body("ValkeyWorker")
    made = plan(Snapshot(body("ValkeyWorker", generation=2, **change), inputs, live(old)))
    (event,) = [event for event in made.events if event.reason == "RollingOut"]
    assert cause in event.message


def test_scaling_is_no_rollout() -> None:
    two, three = body("ValkeyWorker", replicas=2), body("ValkeyWorker", generation=2, replicas=3)
    made = plan(Snapshot(three, INPUTS, live(two)))
    assert kinds(made) == ["Deployment"]
    assert "RollingOut" not in [event.reason for event in made.events]


def test_an_object_of_somebody_else_is_refused_and_never_written() -> None:
    made = body("ValkeyWorker")
    children = live(made)
    foreign = children[Reference("ConfigMap", "shop", "x-worker")]
    del foreign["metadata"]["ownerReferences"]
    foreign["data"] = {"theirs": "yes"}
    refused = plan(Snapshot(made, INPUTS, {Reference("ConfigMap", "shop", "x-worker"): foreign}))
    assert states(refused)["Ready"] == ("False", "NameConflict")
    assert states(refused)["Stalled"] == ("True", "NameConflict")
    # its pods would read the foreign ConfigMap
    assert kinds(refused) == ["Service"]


def test_children_of_a_deleted_namesake_are_waited_for() -> None:
    made = body("ValkeyWorker")
    children = live(made)
    for child in children.values():
        child["metadata"]["ownerReferences"][0]["uid"] = "uid-of-the-former"
    waiting = plan(Snapshot(made, INPUTS, children))
    assert not waiting.writes
    assert states(waiting)["Ready"] == ("Unknown", "Progressing")


def test_what_is_ours_and_unwanted_is_deleted_with_its_uid() -> None:
    two = body("ValkeyWorker", replicas=2)
    made = plan(Snapshot(body("ValkeyWorker", generation=2), INPUTS, live(two)))
    assert [(each.reference.kind, each.uid) for each in made.delete] == [
        ("PodDisruptionBudget", "uid-PodDisruptionBudget")
    ]


def test_a_missing_secret_holds_the_deployment_as_it_is() -> None:
    made = body("ValkeyWorker")
    missing = (SecretNotFoundError("Secret valkey does not exist: create it with the key password"),)
    running = plan(Snapshot(made, replace(INPUTS, secrets_hash="?"), live(made), problems=missing))
    assert kinds(running) == []
    assert states(running)["Ready"] == ("False", "SecretNotFound")
    assert "create it" in message(running)
    fresh = plan(Snapshot(made, INPUTS, problems=missing))
    assert "Deployment" not in kinds(fresh)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ValkeyUnreachableError("Valkey at valkey:6379 does not answer"), "ValkeyUnreachable"),
        (ValkeyAuthenticationFailedError("refused"), "AuthenticationFailed"),
    ],
)
def test_p5_a_broken_valkey_shows_and_changes_no_pod(problem: Exception, reason: str) -> None:
    made = body("ValkeyWorker")
    broken = plan(Snapshot(made, INPUTS, live(made), problems=(problem,)))
    assert states(broken)["Ready"] == ("False", reason)
    assert states(broken)["ConnectionsReady"] == ("False", reason)
    assert states(broken)["Available"][0] == "True"
    assert not broken.writes
    assert [event.reason for event in broken.events] == [reason]


def test_failing_pods_say_what_the_container_said() -> None:
    made = body("ValkeyWorker")
    children = live(made)
    children[DEPLOYMENT]["status"].update(availableReplicas=0, readyReplicas=0)
    pods = (PodFacts("x-worker-1", ready=False, failure="No module named 'shop'."),)
    failing = plan(Snapshot(made, INPUTS, children, pods))
    assert states(failing)["Ready"] == ("False", "PodsFailing")
    assert message(failing) == "x-worker-1: No module named 'shop'."


def test_a_suspended_worker_has_no_pods_and_is_ready() -> None:
    made = body("ValkeyWorker", suspend=True)
    suspended = plan(Snapshot(made, INPUTS, live(made)))
    assert states(suspended)["Ready"] == ("True", "Suspended")
    assert states(suspended)["Suspended"] == ("True", "Suspended")
    assert states(suspended)["Available"] == ("False", "Suspended")


def test_an_invalid_spec_is_stalled_and_children_are_left_alone() -> None:
    good = body("ValkeyWorker")
    stored = {**good, "spec": {**good["spec"], "replicas": "many", "wrong": 1}}
    made = plan(Snapshot(stored, INPUTS, live(good)))
    assert states(made) == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}
    assert "spec.wrong: unknown field" in message(made)
    assert not made.writes


def test_live_numbers_stand_in_the_status_and_go_when_unknown() -> None:
    made = body("ValkeyWorker", outbox={"key": "out", "tasks": ["shop.tasks.price"]})
    numbers = Numbers(backlog=7, in_flight=2, outbox=1, queues=(("pricing", 7),))
    known = plan(Snapshot(made, INPUTS, live(made), numbers=numbers))
    assert {name: known.status[name] for name in ("backlog", "inFlight", "outbox", "queues")} == {
        "backlog": 7,
        "inFlight": 2,
        "outbox": 1,
        "queues": [{"name": "pricing", "waiting": 7}],
    }
    assert known.status["selector"] == "headrace.dev/kind=ValkeyWorker,headrace.dev/name=x"
    assert "backlog" not in plan(Snapshot(made, INPUTS, live(made))).status


def test_alerts_without_the_prometheus_operator_never_hold_ready_back() -> None:
    made = body("ValkeyWorker")
    without = plan(Snapshot(made, INPUTS, live(made)))
    assert states(without)["AlertsReady"] == ("False", "PrometheusOperatorMissing")
    assert states(without)["Ready"][0] == "True"
    inputs = replace(INPUTS, monitoring=True)
    with_operator = plan(Snapshot(made, inputs, live(made, inputs)))
    assert states(with_operator)["AlertsReady"] == ("True", "Succeeded")
    assert {"PodMonitor", "PrometheusRule"} <= {reference.kind for reference in live(made, inputs)}


def test_a_correction_names_the_field_that_somebody_changed() -> None:
    made = body("ValkeyWorker", replicas=2)
    children = live(made)
    children[DEPLOYMENT]["spec"]["replicas"] = 7
    (event,) = [event for event in plan(Snapshot(made, INPUTS, children)).events if event.reason == "DriftCorrected"]
    assert event.message == "Corrected Deployment/x-worker: spec.replicas was different"
    edited = body("ValkeyWorker", generation=2, replicas=3)
    edited["status"]["observedGeneration"] = 1
    assert "DriftCorrected" not in [event.reason for event in plan(Snapshot(edited, INPUTS, live(made))).events]
