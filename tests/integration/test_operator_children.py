"""The operator and its children in Kubernetes: made, repaired, refused, left alone."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.valkey import Valkey
from tests.integration.api_server import ApiServer
from tests.integration.operator_bed import (
    CRD,
    Kubernetes,
    OperatorProcess,
    at_rest,
    operator,
    wait_for,
    worker_spec,
)

CHILDREN = ("ConfigMap", "Service", "PodDisruptionBudget", "Deployment")


@pytest.fixture(scope="module")
def kube(api_server: ApiServer) -> Kubernetes:
    made = Kubernetes(api_server.kubeconfig, "operator-children")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def process(kube: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with operator(kube, tmp_path_factory.mktemp("operator") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def worker(kube: Kubernetes, name: str, valkey: Valkey, **fields: Any) -> None:
    """Create a worker of two pods and wait until it is ready."""
    kube.create("ValkeyWorker", name, spec=worker_spec(valkey.url, **{"replicas": 2, **fields}))
    kube.ready("ValkeyWorker", name, f"{name}-worker")


def without_versions(kube: Kubernetes, name: str) -> dict[str, Any]:
    """The children of a worker, less what changes with every write."""
    found = {kind: kube.get(kind, f"{name}-worker") or {"metadata": {}} for kind in CHILDREN}
    for child in found.values():
        for field in ("resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"):
            child["metadata"].pop(field, None)
        child.pop("status", None)
        child.get("spec", {}).pop("clusterIP", None)
    return found


def test_a_worker_becomes_ready_and_counts(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    queues = {"app": "shop.tasks:app", "queues": [{"name": "counted"}]}
    worker(kube, "counts", shared_valkey, celery=queues)
    status = kube.get("ValkeyWorker", "counts")["status"]
    assert [status[name] for name in ("replicas", "readyReplicas", "backlog", "inFlight")] == [2, 2, 0, 0]
    with shared_valkey.client() as client:
        client.lpush("counted", "a", "b")
        client.lpush("counted\x06\x163", "c")
    wait_for("backlog 3", lambda: kube.get("ValkeyWorker", "counts")["status"]["backlog"] == 3)
    assert process.metric("headrace_resource_backlog", name="counts") == 3
    assert kube.call("GET", kube.path("ValkeyWorker", "counts", "scale"))["status"]["selector"] == status["selector"]


def test_p3_at_rest_nothing_is_written(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    worker(kube, "rests", shared_valkey)
    at_rest(kube, process)


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_is_made_again(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey, kind: str
) -> None:
    name = f"deleted-{kind.lower()}"
    worker(kube, name, shared_valkey)
    before, uid = without_versions(kube, name), kube.get(kind, f"{name}-worker")["metadata"]["uid"]
    kube.delete(kind, f"{name}-worker")
    wait_for(
        f"a new {kind}", lambda: (kube.get(kind, f"{name}-worker") or {}).get("metadata", {}).get("uid", uid) != uid
    )
    kube.ready("ValkeyWorker", name, f"{name}-worker")
    assert without_versions(kube, name) == before


DRIFT: list[tuple[str, dict[str, Any]]] = [
    ("ConfigMap", {"data": {"config.json": "{}"}}),
    # these two can only be made anew: the API server refuses ours beside theirs
    ("Service", {"spec": {"ports": [{"name": "http", "port": 9, "targetPort": 9}]}}),
    ("PodDisruptionBudget", {"spec": {"maxUnavailable": None, "minAvailable": 1}}),
    ("Deployment", {"spec": {"replicas": 7}}),
    ("Deployment", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}),
    ("Deployment", {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}),
]


@pytest.mark.parametrize(("kind", "patch"), DRIFT, ids=[f"{kind}-{next(iter(patch))}" for kind, patch in DRIFT])
def test_an_edited_child_is_repaired(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey, kind: str, patch: dict[str, Any]
) -> None:
    if kube.get("ValkeyWorker", "drifts") is None:
        worker(kube, "drifts", shared_valkey)
    before = without_versions(kube, "drifts")
    kube.merge(kind, "drifts-worker", patch)
    assert without_versions(kube, "drifts")[kind] != before[kind]
    wait_for(f"the repaired {kind}", lambda: without_versions(kube, "drifts") == before)
    kube.ready("ValkeyWorker", "drifts", "drifts-worker")


def test_p4_foreign_fields_are_kept(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    worker(kube, "shared", shared_valkey)
    for kind in CHILDREN:
        kube.merge(kind, "shared-worker", {"metadata": {"labels": {"theirs": "1"}, "annotations": {"their": "2"}}})
    sidecar = [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "x"}}]
    path = kube.path("Deployment", "shared-worker")
    kube.call("PATCH", path, sidecar, "application/json-patch+json")
    kube.merge("ValkeyWorker", "shared", {"spec": {"replicas": 3, "celery": {"concurrency": 9}}})
    kube.ready("ValkeyWorker", "shared", "shared-worker")
    for kind in CHILDREN:
        metadata = kube.get(kind, "shared-worker")["metadata"]
        assert (metadata["labels"]["theirs"], metadata["annotations"]["their"]) == ("1", "2")
    containers = kube.get("Deployment", "shared-worker")["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["worker", "side"]


def test_an_unset_field_is_as_if_it_had_never_been_set(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey
) -> None:
    worker(kube, "unset", shared_valkey)
    before = without_versions(kube, "unset")
    extra = {
        "pod": {
            "nodeSelector": {"disk": "ssd"},
            "env": [{"name": "A", "value": "1"}],
            "labels": {"team": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "resources": {"requests": {"cpu": "0.5"}},
        },
        "terminationGracePeriodSeconds": 30,
        "replicas": 3,
    }
    kube.merge("ValkeyWorker", "unset", {"spec": extra})
    wait_for(
        "the changed Deployment",
        lambda: kube.get("Deployment", "unset-worker")["spec"]["template"]["spec"].get("nodeSelector"),
    )
    kube.ready("ValkeyWorker", "unset", "unset-worker")
    kube.merge("ValkeyWorker", "unset", {"spec": {"pod": None, "terminationGracePeriodSeconds": None, "replicas": 2}})
    wait_for("the Deployment as before", lambda: without_versions(kube, "unset") == before)
    kube.ready("ValkeyWorker", "unset", "unset-worker")
    at_rest(kube, process)


def test_a_changed_field_is_named_in_the_event(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey
) -> None:
    worker(kube, "rolls", shared_valkey)
    kube.merge("ValkeyWorker", "rolls", {"spec": {"celery": {"concurrency": 7}}})
    event = wait_for("the event", lambda: [text for reason, text in kube.events("rolls") if reason == "RollingOut"])
    assert "spec.celery.concurrency" in event[0]
    assert kube.condition("ValkeyWorker", "rolls") in (("Unknown", "Progressing"), None)


def test_an_object_of_somebody_else_is_refused_until_it_goes(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey
) -> None:
    kube.create("ConfigMap", "taken-worker", data={"theirs": "yes"})
    foreign = kube.get("ConfigMap", "taken-worker")
    kube.create("ValkeyWorker", "taken", spec=worker_spec(shared_valkey.url))
    kube.wait_for_condition("ValkeyWorker", "taken", "False", "NameConflict")
    assert "ConfigMap/taken-worker" in kube.message("ValkeyWorker", "taken")
    assert kube.get("Deployment", "taken-worker") is None
    assert kube.get("ConfigMap", "taken-worker") == foreign
    kube.delete("ConfigMap", "taken-worker")
    kube.ready("ValkeyWorker", "taken", "taken-worker")


PASSWORD = "correct-horse-battery-staple"


def encoded(text: str) -> str:
    """As a Secret holds it."""
    return base64.b64encode(text.encode()).decode()


def test_a_missing_secret_is_named_and_heals_and_p6_stays_secret(
    kube: Kubernetes, process: OperatorProcess, tmp_path: Path
) -> None:
    with Valkey(tmp_path / "valkey", password=PASSWORD) as server:
        spec = worker_spec(server.url)
        spec["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
        kube.create("ValkeyWorker", "secretive", spec=spec)
        kube.wait_for_condition("ValkeyWorker", "secretive", "False", "SecretNotFound")
        assert "Secret valkey does not exist" in kube.message("ValkeyWorker", "secretive")
        assert kube.get("Deployment", "secretive-worker") is None
        kube.create("Secret", "valkey", data={"password": encoded("wrong-" + PASSWORD)})
        kube.wait_for_condition("ValkeyWorker", "secretive", "False", "AuthenticationFailed")
        kube.merge("Secret", "valkey", {"data": {"password": encoded(PASSWORD)}})
        kube.ready("ValkeyWorker", "secretive", "secretive-worker")
        rolled = [text for reason, text in kube.events("secretive") if reason == "RollingOut"]
        assert any("referenced Secret changed" in text for text in rolled)
        kube.delete("Secret", "valkey")
        kube.wait_for_condition("ValkeyWorker", "secretive", "False", "SecretNotFound")
        assert kube.get("Deployment", "secretive-worker")["spec"]["replicas"] == 1
    seen = process.text() + str(kube.get("ValkeyWorker", "secretive")) + str(kube.events("secretive"))
    seen += str([kube.get(kind, "secretive-worker") for kind in CHILDREN])
    assert PASSWORD not in seen
    assert encoded(PASSWORD) not in seen


@pytest.fixture
def looser_schema(kube: Kubernetes) -> Iterator[Callable[[], None]]:
    """ValkeyWorkers of any spec may be stored, until this is called."""
    path = CRD.path(name="valkeyworkers.headrace.dev")
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    strict = kube.call("GET", path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    def replace(schema: Any) -> None:
        kube.call("PATCH", path, [{"op": "replace", "path": field, "value": schema}], "application/json-patch+json")

    replace({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    yield lambda: replace(strict)
    replace(strict)


def test_p7_resources_of_a_looser_schema_are_told_and_harm_no_other(
    kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey, looser_schema: Callable[[], None]
) -> None:
    process.stop()
    incomplete = {"celery": {"app": "shop.tasks:app"}, "surprise": True, "replicas": 1}
    wait_for("the looser schema", lambda: _stored(kube, "incomplete", incomplete))
    # The rule on celery.app cannot be evaluated on a number: then Kubernetes takes no write at all, not of a status.
    kube.create("ValkeyWorker", "odd", spec={**worker_spec(shared_valkey.url), "celery": {"app": 5}})
    looser_schema()
    wait_for("the present schema", lambda: not _stored(kube, "refused", incomplete))
    process.start()
    kube.wait_for_condition("ValkeyWorker", "incomplete", "True", "InvalidSpec", of="Stalled")
    # (the surprise may be gone: an API server prunes what its schema does not know whenever it reads)
    assert "spec.valkey: Field required" in kube.message("ValkeyWorker", "incomplete")
    told = wait_for("an event", lambda: kube.events("odd"))
    assert told == [("InvalidSpec", "spec.celery.app: Input should be a valid string")]
    worker(kube, "neighbour", shared_valkey)
    at_rest(kube, process)
    assert kube.events("odd") == told
    assert "A pass failed" not in process.text()
    for name in ("odd", "incomplete"):
        kube.delete("ValkeyWorker", name)


def _stored(kube: Kubernetes, name: str, spec: Any) -> bool:
    try:
        kube.create("ValkeyWorker", name, spec=spec)
    except AssertionError:
        return False
    return True


def test_a_suspended_worker_has_no_pods(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    worker(kube, "pauses", shared_valkey)
    kube.merge("ValkeyWorker", "pauses", {"spec": {"suspend": True}})
    wait_for("no replicas", lambda: kube.get("Deployment", "pauses-worker")["spec"]["replicas"] == 0)
    kube.wait_for_condition("ValkeyWorker", "pauses", "True", "Suspended", deployments=("pauses-worker",))
    kube.merge("ValkeyWorker", "pauses", {"spec": {"suspend": None}})
    wait_for("the replicas again", lambda: kube.get("Deployment", "pauses-worker")["spec"]["replicas"] == 2)


def test_failing_pods_tell_why(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    kube.create("ValkeyWorker", "fails", spec=worker_spec(shared_valkey.url))
    deployment = wait_for("the Deployment", lambda: kube.get("Deployment", "fails-worker"))
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    pod = {"containers": [{"name": "worker", "image": "x"}]}
    kube.call(
        "POST",
        kube.path("Pod"),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fails-1", "labels": labels}, "spec": pod},
    )
    ended = {"terminated": {"exitCode": 78, "reason": "Error", "message": "No module named 'shop'."}}
    state = {"name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "lastState": ended}
    state["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    kube.merge("Pod", "fails-1", {"status": {"containerStatuses": [state]}}, "status")
    kube.wait_for_condition("ValkeyWorker", "fails", "False", "PodsFailing")
    assert kube.message("ValkeyWorker", "fails") == "fails-1: No module named 'shop'."


def test_a_deleted_resource_leaves_no_series(kube: Kubernetes, process: OperatorProcess, shared_valkey: Valkey) -> None:
    worker(kube, "goes", shared_valkey)
    assert process.metric("headrace_operator_resource_condition", name="goes") > 0
    kube.delete("ValkeyWorker", "goes")
    wait_for("the end of its series", lambda: process.metric("headrace_operator_resource_condition", name="goes") == 0)
    # without a garbage collector the children stay: they are not ours to touch any more
    assert kube.get("Deployment", "goes-worker") is not None
