"""The chart as Helm renders it: in the whole cluster, in some namespaces, with several replicas."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.controller.settings import from_environment
from testbed import programs, promtool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "headrace"
Json = dict[str, Any]
Render = Callable[..., list[Json]]


@pytest.fixture(scope="session")
def helm() -> str:
    """The one on PATH, else the test bed's."""
    return shutil.which("helm") or str(programs.client("helm"))


@pytest.fixture
def run(helm: str, tmp_path: Path) -> Callable[[Json], subprocess.CompletedProcess[str]]:
    """`helm template` with values; the finished process."""

    def template(values: Json) -> subprocess.CompletedProcess[str]:
        given = tmp_path / "values.yaml"
        given.write_text(yaml.safe_dump(values))
        # A helm that was built without a stamp takes the cluster for an old one.
        command = [helm, "template", "headrace", str(CHART), "-n", "system", "--kube-version", "1.33", "-f", str(given)]
        return subprocess.run(command, capture_output=True, text=True, env={"HOME": str(tmp_path)})

    return template


@pytest.fixture
def render(run: Callable[[Json], subprocess.CompletedProcess[str]]) -> Render:
    """The rendered objects."""

    def objects(**values: Any) -> list[Json]:
        done = run(values)
        assert done.returncode == 0, done.stderr
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return objects


MODES: dict[str, Json] = {
    "cluster": {},
    "namespaced": {"watchNamespaces": ["shop", "billing"]},
    "highly-available": {"replicas": 2, "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    "everything": {
        "fullnameOverride": "channel",
        "image": {"repository": "registry.example/op", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccount": {"name": "waterman", "annotations": {"a": "b"}},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "x"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "priorityClassName": "high",
        "crds": {"keep": False},
        "concurrency": 3,
        "log": {"level": "DEBUG"},
    },
}


def only(objects: list[Json], kind: str) -> Json:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def kinds(objects: list[Json]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"].get("namespace", "")) for each in objects}


def container(objects: list[Json]) -> Json:
    (found,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES)
def test_the_operator_obeys_pod_security_restricted(mode: str, render: Render) -> None:
    objects = render(**MODES[mode])
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


@pytest.mark.parametrize("mode", MODES)
def test_the_operator_understands_every_variable_it_is_given(mode: str, render: Render) -> None:
    values = MODES[mode]
    environment = {each["name"]: each["value"] for each in container(render(**values))["env"]}
    settings = from_environment(environment)
    assert settings.namespaces == tuple(values.get("watchNamespaces", ()))
    assert settings.worker_image == "headrace-worker:0.1.0"
    assert settings.lease_namespace == "system"
    assert settings.lease_name == values.get("fullnameOverride", "headrace")
    assert settings.concurrency == values.get("concurrency", 10)
    assert settings.log_level == values.get("log", {}).get("level", "INFO")
    ours = {name for name in environment if name.startswith("HEADRACE_")}
    documented = (ROOT / "operator" / "headrace" / "controller" / "settings.py").read_text()
    assert all(f"{name}:" in documented for name in ours)


def test_in_the_whole_cluster_there_is_one_cluster_role(render: Render) -> None:
    objects = render()
    assert ("ClusterRoleBinding", "") in kinds(objects)
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Role"] == ["headrace-lease"]


def test_in_namespaces_there_is_a_role_in_each_and_nothing_for_the_cluster(render: Render) -> None:
    objects = render(watchNamespaces=["shop", "billing"], rbac={"aggregate": False}, crds={"enabled": False})
    assert {(kind, where) for kind, where in kinds(objects) if kind.startswith("Cluster")} == set()
    roles = [(each["metadata"]["name"], each["metadata"]["namespace"]) for each in objects if each["kind"] == "Role"]
    assert sorted(roles) == [("headrace", "billing"), ("headrace", "shop"), ("headrace-lease", "system")]
    for binding in (each for each in objects if each["kind"] == "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "headrace", "namespace": "system"}]


def test_both_modes_give_the_same_rights(render: Render) -> None:
    cluster = next(
        each for each in render() if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "headrace"
    )
    role = next(each for each in render(watchNamespaces=["shop"]) if each["metadata"].get("namespace") == "shop")
    *same, definitions = cluster["rules"]
    assert same == role["rules"]
    assert definitions["resources"] == ["customresourcedefinitions"]


def test_p4_rights_are_the_least(render: Render) -> None:
    """What is not listed here is not granted; above all no write to Secrets, to pods, or to a spec of a pipeline."""
    rights = {
        (resource, verb)
        for each in render()
        if each["kind"] in ("ClusterRole", "Role") and not each["metadata"]["name"].endswith(("-view", "-edit"))
        for rule in each["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    children = {"valkeyworkers", "pulsarbridges", "deployments", "configmaps", "services", "poddisruptionbudgets"}
    children |= {"podmonitors", "prometheusrules"}
    reading = {"get", "list", "watch"}
    expected = {(child, verb) for child in children for verb in reading | {"create", "patch", "delete"}}
    expected |= {(kind, verb) for kind in ("hybridpipelines", "secrets", "pods") for verb in reading}
    for kind in ("valkeyworkers", "pulsarbridges", "hybridpipelines"):
        expected |= {(f"{kind}/status", "patch"), (f"{kind}/finalizers", "update")}
    expected |= {("events", "create"), ("events", "patch")}
    expected |= {("customresourcedefinitions", "list"), ("customresourcedefinitions", "watch")}
    expected |= {("leases", verb) for verb in ("get", "create", "update")}
    assert rights == expected


@pytest.mark.parametrize("mode", MODES)
def test_no_rule_has_a_wildcard(mode: str, render: Render) -> None:
    for each in render(**MODES[mode]):
        for rule in each.get("rules", ()):
            assert "*" not in json.dumps(rule)


def test_users_roles_cover_the_three_kinds(render: Render) -> None:
    roles = {each["metadata"]["name"]: each for each in render() if each["kind"] == "ClusterRole"}
    view, edit = roles["headrace-view"], roles["headrace-edit"]
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    assert view["metadata"]["labels"][f"{aggregate}view"] == "true"
    assert f"{aggregate}view" not in edit["metadata"]["labels"]
    assert not {"create", "update", "patch", "delete"} & {verb for rule in view["rules"] for verb in rule["verbs"]}
    assert not any("status" in resource for rule in edit["rules"] for resource in rule["resources"])


def test_the_crds_are_those_of_the_repository_and_stay_on_uninstall(render: Render) -> None:
    rendered = {each["metadata"]["name"]: each for each in render() if each["kind"] == "CustomResourceDefinition"}
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        ours = rendered.pop(definition["metadata"]["name"])
        assert ours["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
        ours["metadata"] = {name: value for name, value in ours["metadata"].items() if value}
        assert ours == definition
        assert (CHART / "files" / "crds" / path.name).read_text() == path.read_text(), "run make crds"
    assert not rendered


def test_crds_can_be_left_out_or_not_kept(render: Render) -> None:
    assert "CustomResourceDefinition" not in {kind for kind, _ in kinds(render(crds={"enabled": False}))}
    dropped = render(crds={"keep": False})
    definitions = [each for each in dropped if each["kind"] == "CustomResourceDefinition"]
    assert len(definitions) == 3
    assert not any("annotations" in each["metadata"] for each in definitions)


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1)])
def test_a_budget_stands_only_above_one_replica(replicas: int, budgets: int, render: Render) -> None:
    objects = render(replicas=replicas)
    assert sum(each["kind"] == "PodDisruptionBudget" for each in objects) == budgets
    assert len(only(objects, "Deployment")["spec"]["template"]["spec"].get("topologySpreadConstraints", [])) == budgets


def test_nothing_of_the_prometheus_operator_unless_asked_for(render: Render) -> None:
    assert not {"PodMonitor", "PrometheusRule"} & {kind for kind, _ in kinds(render())}


def test_an_image_by_digest_wins_over_its_tag(render: Render) -> None:
    objects = render(image={"repository": "op", "tag": "1", "digest": "sha256:" + "a" * 64})
    assert container(objects)["image"] == "op@sha256:" + "a" * 64
    assert container(render(image={"tag": "9"}))["image"] == "headrace-operator:9"


def test_a_foreign_service_account_is_used_and_not_made(render: Render) -> None:
    objects = render(serviceAccount={"create": False, "name": "given"})
    assert "ServiceAccount" not in {kind for kind, _ in kinds(objects)}
    assert only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "given"
    binding = only(objects, "ClusterRoleBinding")
    assert binding["subjects"][0]["name"] == "given"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicaCount": 2}, "replicaCount"),
        ({"image": {"name": "x"}}, "name"),
        ({"log": {"level": "TRACE"}}, "log"),
        ({"watchNamespaces": ["Shop"]}, "watchNamespaces"),
        ({"watchNamespaces": "shop"}, "watchNamespaces"),
        ({"workerImage": {"digest": "latest"}}, "digest"),
        ({"resources": {"request": {}}}, "request"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
        ({"prometheusRule": {"enabled": True}}, "prometheusRule.enabled needs podMonitor.enabled"),
    ],
)
def test_values_without_effect_are_refused(
    values: Json, complaint: str, run: Callable[[Json], subprocess.CompletedProcess[str]]
) -> None:
    done = run(values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_value_stands_in_the_schema_and_the_readme() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    readme = (CHART / "README.md").read_text()
    for name, value in values.items():
        keys = [f"{name}.{inner}" for inner in value] if isinstance(value, dict) and value else [name]
        if name == "resources":
            keys = [name]
        assert all(f"`{key}`" in readme for key in keys), name


def test_notes_tell_what_was_installed_and_what_to_do_next(helm: str, tmp_path: Path) -> None:
    """`helm template` leaves the notes out and `helm install` wants a cluster, so a copy renders them as a value."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "NOTES.txt") . | quote }}')
    command = [helm, "template", "water", str(copy), "-n", "system", "--kube-version", "1.33"]
    command += ["--set", "watchNamespaces={shop}", "--show-only", "templates/notes.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    notes = yaml.safe_load(done.stdout)["notes"]
    assert "deployment/water-headrace in namespace system, 1 replica\n" in notes
    assert "namespaces shop\n" in notes
    assert "kubectl apply -n shop" in notes
    assert "kubectl get headrace -A" in notes


ALERT_TESTS = [
    ("HeadraceOperatorDown", {"anything": "1x80"}, "7m", 1),
    ("HeadraceOperatorDown", {'up{job="system/headrace",pod="a"}': "1x80"}, "7m", 0),
    ("HeadraceOperatorDown", {'up{job="system/headrace",pod="a"}': "1x4 0x8 1x80"}, "7m", 0),
]
_READY = (
    'headrace_operator_resource_condition{{job="system/headrace",pod="{pod}",kind="ValkeyWorker",'
    'namespace="shop",name="pricing",type="{type}",status="True"}}'
)
ALERT_TESTS += [
    ("HeadraceResourceNotReady", {_READY.format(pod="a", type="Ready"): "0x80"}, "17m", 1),
    ("HeadraceResourceNotReady", {_READY.format(pod="a", type="Ready"): "0x80"}, "10m", 0),
    ("HeadraceResourceNotReady", {_READY.format(pod="a", type="Ready"): "1x80"}, "17m", 0),
    ("HeadraceResourceNotReady", {_READY.format(pod="a", type="AlertsReady"): "0x80"}, "17m", 0),
    (
        "HeadraceResourceNotReady",
        {_READY.format(pod="old", type="Ready"): "0x80", _READY.format(pod="new", type="Ready"): "1x80"},
        "17m",
        0,
    ),
]


@pytest.mark.parametrize(("alert", "series", "at", "firing"), ALERT_TESTS)
def test_alert(alert: str, series: dict[str, str], at: str, firing: int, render: Render, tmp_path: Path) -> None:
    rule = only(render(**MODES["highly-available"]), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    fired = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": fired, "eval_time": at, "exp_samples": [{"labels": "{}", "value": firing}]}],
    }
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(suite))
    command = [str(promtool.path()), "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
