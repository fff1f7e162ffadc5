"""Every alert has its page, and every page its alert."""

import re
from pathlib import Path
from typing import Any

from tests.unit.desired.cases import CASES, descendants, load

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "runbooks"
CHART_RULE = ROOT / "charts" / "headrace" / "templates" / "prometheus-rule.yaml"


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for case in CASES
        for child in descendants(load(case))
        if child["kind"] == "PrometheusRule"
        for group in child["spec"]["groups"]
        for rule in group["rules"]
    ]


def alerts() -> set[str]:
    """All alerts, of resources and of the chart (whose template is no YAML, so its names are searched)."""
    return {rule["alert"] for rule in rules()} | set(re.findall(r"alert: (\w+)", CHART_RULE.read_text()))


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == alerts()


def test_a_page_says_what_it_means_where_to_look_and_what_to_do() -> None:
    for alert in alerts():
        text = (PAGES / f"{alert}.md").read_text()
        headings = re.findall("^#+ (.*)$", re.sub("```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
        assert headings == [alert, "Meaning", "Look", "Do"]
        assert "kubectl" in text


def test_the_severity_on_the_page_is_the_alerts() -> None:
    for rule in rules():
        assert f"**Severity** {rule['labels']['severity']}." in (PAGES / f"{rule['alert']}.md").read_text()


def test_the_annotation_names_the_page() -> None:
    for rule in rules():
        assert (ROOT / rule["annotations"]["runbook"]).is_file()


def test_the_index_lists_every_page_with_its_severity() -> None:
    index = (PAGES / "README.md").read_text()
    assert set(re.findall(r"^\| \[(\w+)\]\(\1\.md\)", index, flags=re.MULTILINE)) == alerts()
    for rule in rules():
        assert f"| [{rule['alert']}]({rule['alert']}.md) | {rule['labels']['severity']} |" in index


def test_links_between_pages_hold() -> None:
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            assert (PAGES / target).is_file(), f"{page.name}: {target}"


def test_kinds_are_written_as_the_api_knows_them() -> None:
    known = {"valkeyworker", "pulsarbridge", "hybridpipeline", "valkeyworkers", "pulsarbridges", "pod", "pods"}
    known |= {"replicaset", "KIND", "deployment"}
    for page in PAGES.glob("*.md"):
        for kinds in re.findall(r"kubectl (?:get|describe|scale|patch|delete|top) ([\w,]+)", page.read_text()):
            assert set(kinds.split(",")) <= known, page.name
