from copy import deepcopy
from typing import Any

import pytest

from headrace.reconcile.ownership import Ownership, first_drift, ownership

OWNER = {"kind": "ValkeyWorker", "metadata": {"name": "x", "uid": "u1"}}
DESIRED: dict[str, Any] = {
    "metadata": {"name": "x-worker", "labels": {"ours": "1"}},
    "spec": {
        "replicas": 2,
        "paused": False,
        "ports": [{"name": "http", "containerPort": 8080}],
        "containers": [{"name": "worker", "image": "a", "args": ["worker"], "env": [{"name": "A", "value": "1"}]}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def stored() -> dict[str, Any]:
    """As the API server hands it back: with defaults of its own, and with fields of others."""
    made = deepcopy(DESIRED)
    made["metadata"]["labels"]["theirs"] = "2"
    made["metadata"]["annotations"] = {"theirs": "3"}
    made["spec"]["ports"][0]["protocol"] = "TCP"
    made["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    made["spec"]["containers"].append({"name": "injected", "image": "sidecar"})
    made["spec"]["containers"][0]["env"].insert(0, {"name": "THEIRS", "value": "x"})
    return made


def test_defaults_and_foreign_fields_are_no_drift() -> None:
    assert first_drift(DESIRED, stored()) is None


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("spec", "replicas"), 5, "spec.replicas"),
        (("spec", "paused"), 0, "spec.paused"),
        (("metadata", "labels", "ours"), "9", "metadata.labels.ours"),
        (("spec", "containers", 0, "image"), "b", "spec.containers[worker].image"),
        (("spec", "containers", 0, "args"), ["worker", "more"], "spec.containers[worker].args"),
        (("spec", "containers", 0, "env"), [], "spec.containers[worker].env[A]"),
        (("spec", "containers"), None, "spec.containers"),
    ],
)
def test_drift_is_named(path: tuple[Any, ...], value: Any, named: str) -> None:
    live = stored()
    place: Any = live
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert first_drift(DESIRED, live) == named


def managed(fields: dict[str, Any], manager: str = "headrace", operation: str = "Apply") -> list[dict[str, Any]]:
    """One entry of managedFields."""
    return [{"manager": manager, "operation": operation, "fieldsV1": fields}]


def test_a_field_that_we_applied_and_do_not_want_any_more_is_drift() -> None:
    live = stored()
    live["metadata"]["managedFields"] = managed(
        {"f:spec": {"f:replicas": {}, "f:minReadySeconds": {}}, "f:metadata": {"f:labels": {"f:ours": {}}}}
    )
    assert first_drift(DESIRED, live) == "spec.minReadySeconds"


def test_a_list_entry_that_we_applied_and_do_not_want_any_more_is_drift() -> None:
    live = stored()
    ports: dict[str, Any] = {
        'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:containerPort": {}}
    }
    live["metadata"]["managedFields"] = managed({"f:spec": {"f:ports": ports}})
    assert first_drift(DESIRED, live) is None
    ports['k:{"containerPort":9090,"protocol":"TCP"}'] = {".": {}}
    assert first_drift(DESIRED, live) == 'spec.ports[{"containerPort":9090,"protocol":"TCP"}]'


@pytest.mark.parametrize(("manager", "operation"), [("kubectl", "Apply"), ("headrace", "Update")])
def test_what_others_manage_is_left_alone(manager: str, operation: str) -> None:
    live = stored()
    live["metadata"]["managedFields"] = managed({"f:spec": {"f:minReadySeconds": {}}}, manager, operation)
    assert first_drift(DESIRED, live) is None


@pytest.mark.parametrize(
    ("owners", "whose"),
    [
        ([{"kind": "ValkeyWorker", "name": "x", "uid": "u1"}], Ownership.OURS),
        ([{"kind": "ValkeyWorker", "name": "x", "uid": "u0"}], Ownership.PREDECESSOR),
        ([{"kind": "PulsarBridge", "name": "x", "uid": "u0"}], Ownership.FOREIGN),
        ([], Ownership.FOREIGN),
    ],
)
def test_ownership_is_by_uid(owners: list[dict[str, str]], whose: Ownership) -> None:
    assert ownership({"metadata": {"ownerReferences": owners}}, OWNER) is whose
