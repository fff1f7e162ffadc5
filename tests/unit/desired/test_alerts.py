"""The generated rules in Prometheus' own hands: each alert fires when it should, and only then."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.desired.alert_subjects import BACKLOG, RESOURCES, Case
from tests.unit.desired.cases import CASES, descendants, desired, load
from tests.unit.desired.situations import SITUATIONS


def rules_of(resource: Any) -> dict[str, Any]:
    """The generated PrometheusRule's groups: what Prometheus reads."""
    (rule,) = [child for child in desired(resource) if child["kind"] == "PrometheusRule"]
    return rule["spec"]  # type: ignore[no-any-return]


def run(promtool: str, folder: Path, groups: dict[str, Any], test: dict[str, Any]) -> str:
    """Run one promtool test; its complaints, or nothing."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [{"interval": "15s", **test}]}
    (folder / "test.yaml").write_text(yaml.safe_dump(suite))
    done = subprocess.run([promtool, "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_alert(situation: Case, promtool: str, tmp_path: Path) -> None:
    firing = f'count(ALERTS{{alertname="{situation.alert}",alertstate="firing"}}) or vector(0)'
    expected = {"expr": firing, "eval_time": situation.at, "exp_samples": [{"labels": "{}", "value": situation.firing}]}
    series = [{"series": name, "values": values} for name, values in situation.series.items()]
    test = {"input_series": series, "promql_expr_test": [expected]}
    assert run(promtool, tmp_path, rules_of(RESOURCES[situation.resource]), test) == ""


def test_every_alert_was_seen_firing_and_seen_quiet() -> None:
    generated = {
        rule["alert"]
        for resource in RESOURCES.values()
        for group in rules_of(resource)["groups"]
        for rule in group["rules"]
    }
    assert {situation.alert for situation in SITUATIONS if situation.firing} == generated
    assert {situation.alert for situation in SITUATIONS if not situation.firing} == generated


def test_an_alert_says_what_where_and_how_bad(promtool: str, tmp_path: Path) -> None:
    alert = {
        "exp_labels": {"severity": "critical", "namespace": "shop", "kind": "PulsarBridge", "name": "ingest"},
        "exp_annotations": {
            "summary": "Too many messages wait for PulsarBridge shop/ingest",
            "description": "12.35k messages wait, and the threshold is 10000.",
            "runbook": "docs/runbooks/PulsarBacklogCritical.md",
        },
    }
    test = {
        "input_series": [{"series": BACKLOG, "values": "12345x80"}],
        "alert_rule_test": [{"eval_time": "7m", "alertname": "PulsarBacklogCritical", "exp_alerts": [alert]}],
    }
    assert run(promtool, tmp_path, rules_of(RESOURCES["ingest"]), test) == ""


@pytest.mark.parametrize("name", CASES)
def test_prometheus_reads_every_generated_rule(name: str, promtool: str, tmp_path: Path) -> None:
    for number, child in enumerate(descendants(load(name))):
        if child["kind"] == "PrometheusRule":
            path = tmp_path / f"{number}.yaml"
            path.write_text(yaml.safe_dump(child["spec"]))
            done = subprocess.run(
                [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path)], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_no_alert_stands_twice_for_one_resource(name: str) -> None:
    seen = [
        (rule["alert"], rule["labels"]["kind"], rule["labels"]["namespace"], rule["labels"]["name"])
        for child in descendants(load(name))
        if child["kind"] == "PrometheusRule"
        for group in child["spec"]["groups"]
        for rule in group["rules"]
    ]
    assert len(seen) == len(set(seen))


def test_p5_a_suspended_resource_raises_no_alert_about_standing_still() -> None:
    (rule,) = [child for child in desired(load("worker-suspended")) if child["kind"] == "PrometheusRule"]
    names = {entry["alert"] for entry in rule["spec"]["groups"][0]["rules"]}
    assert names == {"HeadraceWorkerBacklogCritical", "HeadraceWorkerFailureRate", "HeadraceWorkerDeadLetters"}


def test_the_longest_task_is_waited_for() -> None:
    expressions = {
        entry["alert"]: entry["expr"]
        for child in descendants(load("pipeline-full"))
        if child["kind"] == "PrometheusRule"
        for entry in child["spec"]["groups"][0]["rules"]
    }
    assert "[1800s]" in expressions["HeadraceWorkerNotConsuming"]
    assert "[1800s]" in expressions["HeadracePipelineStalled"]
