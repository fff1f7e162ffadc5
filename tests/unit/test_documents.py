"""The newcomers' pages: what they list is complete, what they link to exists."""

import re
from pathlib import Path

import pytest

from headrace.api.status import ConditionType, Reason

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def first_column(page: Path) -> set[str]:
    """Words in code quotes in the first column of a page's tables."""
    return set(re.findall(r"^\| `(\w+)` \|", page.read_text(), re.MULTILINE))


@pytest.mark.parametrize("names", [Reason, ConditionType], ids=lambda names: names.__name__)
def test_troubleshooting_lists_every_reason_and_condition(names: type[Reason] | type[ConditionType]) -> None:
    listed = first_column(ROOT / "docs" / "troubleshooting.md")
    assert {name.value for name in names} <= listed


def test_the_page_on_the_data_plane_lists_every_series_of_a_bridge() -> None:
    sources = (path.read_text() for path in (ROOT / "operator" / "headrace" / "bridge").glob("*.py"))
    made = {name for text in sources for name in re.findall(r'"((?:headrace_bridge|pulsar_consumer)_\w+)"', text)}
    page = (ROOT / "docs" / "dataplane.md").read_text()
    listed = re.findall(r"^\| `((?:headrace_bridge|pulsar)_\w+)", page, re.MULTILINE)
    assert made == {name.removesuffix("_total") for name in listed}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_the_picture_of_the_flow_is_in_the_readme() -> None:
    assert "](docs/pictures/flow.svg)" in (ROOT / "README.md").read_text()
