"""What holds for every child of every case, whatever the golden files say."""

import dataclasses
import json
from typing import Any

import pytest

from headrace.api.resource import ANNOTATION_CONFIG_HASH, parse
from headrace.api.valkey_worker import ValkeyWorker
from tests.unit.desired.cases import CASES, INPUTS, MODELS, descendants, desired, load

Json = dict[str, Any]


def only(children: Any, kind: str) -> Json:
    (found,) = [child for child in children if child["kind"] == kind]
    return found  # type: ignore[no-any-return]


def changed(resource: Any, **changes: Any) -> Any:
    """*resource* with other fields in its spec."""
    body = {**resource.model_dump(by_alias=True), "spec": {**resource.spec.to_wire(), **changes}}
    return parse(type(resource), body)


def template(resource: Any, **inputs: Any) -> Json:
    children = desired(resource, dataclasses.replace(INPUTS, **inputs))
    return only(children, "Deployment")["spec"]["template"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES)
def test_p4_every_child_is_owned_by_its_resource_and_by_no_other(case: str) -> None:
    resource = load(case)
    for child in desired(resource):
        (owner,) = child["metadata"]["ownerReferences"]
        assert owner["uid"] == resource.metadata.uid
        assert (owner["kind"], owner["name"]) == (resource.kind, resource.metadata.name)
        assert owner["controller"]
        assert owner["blockOwnerDeletion"]
        assert child["metadata"]["namespace"] == resource.metadata.namespace


@pytest.mark.parametrize("case", CASES)
def test_p4_nothing_of_the_users_metadata_reaches_a_child(case: str) -> None:
    for child in descendants(load(case)):
        assert not child["metadata"].get("annotations")
        assert not any("argoproj" in label or label == "team" for label in child["metadata"]["labels"])
        assert child["metadata"]["labels"]["app.kubernetes.io/instance"] != "shop"


@pytest.mark.parametrize("case", CASES)
def test_p3_the_same_resource_gives_the_same_objects(case: str) -> None:
    assert list(descendants(load(case))) == list(descendants(load(case)))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("pipeline")])
def test_children_of_a_pipeline_parse_and_hold_only_what_was_set(case: str) -> None:
    kinds = []
    for child in desired(load(case)):
        if child["kind"] in MODELS:
            parsed = parse(MODELS[child["kind"]], child)
            assert parsed.spec.to_wire() == child["spec"]
            kinds.append((child["kind"], child["metadata"]["name"]))
    assert sorted(kinds) == [
        ("PulsarBridge", "pricing-ingest"),
        ("PulsarBridge", "pricing-results"),
        ("ValkeyWorker", "pricing-process"),
    ]


def test_p4_policies_of_a_pipelines_topic_are_declared_by_one_child_and_partitions_by_all_that_use_it() -> None:
    children = [child for child in desired(load("pipeline-full")) if child["kind"] == "PulsarBridge"]
    declared = {child["metadata"]["name"]: child["spec"]["topics"] for child in children}
    events, priced, dead = ({"name": f"persistent://shop/orders/{name}"} for name in ("events", "priced", "dead"))
    assert declared["pricing-ingest"] == [
        {**events, "partitions": 4, "policies": {"retention": {"timeSeconds": 3600}}},
        {**dead, "partitions": 1, "policies": {"messageTtlSeconds": 604800}},
    ]
    assert declared["pricing-results"] == [{**priced, "partitions": 2}, {**dead, "partitions": 1}]


def test_a_pipeline_hands_suspension_down_and_its_children_run_no_pods() -> None:
    children = list(descendants(load("pipeline-suspended")))
    deployments = [child for child in children if child["kind"] == "Deployment"]
    assert [child["spec"]["replicas"] for child in deployments] == [0, 0, 0]


@pytest.mark.parametrize("case", CASES)
def test_pods_obey_pod_security_restricted(case: str) -> None:
    """The list of https://kubernetes.io/docs/concepts/security/pod-security-standards, field by field."""
    for child in descendants(load(case)):
        if child["kind"] != "Deployment":
            continue
        pod = child["spec"]["template"]["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
        assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"projected", "emptyDir"}
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "procMount", "runAsUser"} & set(context)
            assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("case", CASES)
def test_p5_only_livez_can_restart_a_pod(case: str) -> None:
    for child in descendants(load(case)):
        if child["kind"] == "Deployment":
            (container,) = child["spec"]["template"]["spec"]["containers"]
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert container["startupProbe"]["httpGet"]["path"] == "/livez"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("case", CASES)
def test_p6_no_secret_reaches_a_pod_by_its_environment_or_arguments(case: str) -> None:
    for child in descendants(load(case)):
        if child["kind"] == "Deployment":
            (container,) = child["spec"]["template"]["spec"]["containers"]
            assert container["command"] == ["headrace"]
            assert container["args"] in (["worker"], ["bridge"])
            assert all(variable["name"].startswith("SHOP_") for variable in container.get("env", ()))


def test_p6_secrets_are_files_for_the_pods_user_only() -> None:
    volume = template(load("bridge-from-pulsar"))["spec"]["volumes"][0]["projected"]
    files = {
        item["path"]: (source["secret"]["name"], item["key"], source["secret"].get("optional", False))
        for source in volume["sources"]
        if "secret" in source
        for item in source["secret"]["items"]
    }
    assert files == {
        "secrets/valkey/password": ("valkey", "password", False),
        "secrets/valkey/username": ("valkey", "username", True),
        "secrets/valkey-ca/ca.crt": ("authorities", "valkey.pem", False),
        "secrets/pulsar/token": ("pulsar", "jwt", False),
        "secrets/pulsar-ca/ca.crt": ("authorities", "pulsar.pem", False),
    }
    assert volume["defaultMode"] == 0o440


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("pipeline")])
def test_the_config_file_is_the_resource(case: str) -> None:
    resource = load(case)
    config = json.loads(only(desired(resource), "ConfigMap")["data"]["config.json"])
    read_back = parse(type(resource), config)
    assert read_back.identity == resource.identity
    assert read_back.metadata.uid == resource.metadata.uid
    assert read_back.spec.source == resource.spec.source if case.startswith("bridge") else True
    assert read_back.spec.valkey == resource.spec.valkey


def test_pods_roll_for_a_change_of_config_or_secret_and_for_nothing_else() -> None:
    worker = load("worker-full")
    before = template(worker)
    same = [
        changed(worker, replicas=2),
        changed(worker, alerts={"enabled": False}),
    ]
    for resource in same:
        assert template(resource) == before
    celery = {**worker.celery.to_wire(), "concurrency": 9}
    assert template(changed(worker, celery=celery)) != before
    assert template(worker, secrets_hash="other") != before
    assert template(worker, worker_image="headrace-worker:2") == before  # this one has an image of its own
    assert template(load("worker-minimal"), worker_image="headrace-worker:2") != template(load("worker-minimal"))


def test_our_labels_and_annotations_win_over_the_users() -> None:
    worker = load("worker-full")
    labels = template(worker)["metadata"]["labels"]
    assert labels["headrace.dev/kind"] == "ValkeyWorker"
    assert labels["team"] == "pricing"
    spoofed = changed(worker, pod={"annotations": {ANNOTATION_CONFIG_HASH: "x"}})
    assert template(spoofed)["metadata"]["annotations"][ANNOTATION_CONFIG_HASH] != "x"


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_a_budget_stands_only_above_one_replica(replicas: int, budgets: int) -> None:
    children = desired(changed(load("worker-minimal"), replicas=replicas))
    assert sum(child["kind"] == "PodDisruptionBudget" for child in children) == budgets


def test_scaling_rolls_no_pod() -> None:
    one, three = (desired(changed(load("worker-minimal"), replicas=replicas)) for replicas in (1, 3))
    assert only(one, "Deployment")["spec"]["template"] == only(three, "Deployment")["spec"]["template"]


@pytest.mark.parametrize("case", CASES)
def test_without_the_prometheus_operator_nothing_of_it_is_wanted(case: str) -> None:
    children = descendants(load(case), dataclasses.replace(INPUTS, monitoring=False))
    assert not [child for child in children if child["apiVersion"].startswith("monitoring.coreos.com")]


def test_alerts_switched_off_leave_the_metrics() -> None:
    kinds = [child["kind"] for child in desired(load("bridge-to-pulsar"))]
    assert "PodMonitor" in kinds
    assert "PrometheusRule" not in kinds


def test_the_users_labels_select_rule_and_monitor() -> None:
    children = desired(load("worker-full"))
    for kind in ("PodMonitor", "PrometheusRule"):
        labels = only(children, kind)["metadata"]["labels"]
        assert labels["release"] == "prometheus"
        assert labels["headrace.dev/name"] == "pricing"


def test_a_resource_with_a_long_name_gets_valid_names_and_labels() -> None:
    body = load("worker-minimal").model_dump(by_alias=True)
    body["metadata"]["name"] = "9.very-long." + "x" * 240
    resource = parse(ValkeyWorker, body)
    for child in desired(resource):
        assert len(child["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in child["metadata"]["labels"].values())
        assert child["metadata"]["ownerReferences"][0]["name"] == resource.metadata.name
