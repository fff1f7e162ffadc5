"""The health checks for Argo CD, in Lua 5.1 as Argo CD runs them, on the cases of each health_test.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from headrace.api.crd import KINDS
from headrace.api.resource import parse
from headrace.api.status import CommonStatus, HybridPipelineStatus, PulsarBridgeStatus, ValkeyWorkerStatus

ROOT = Path(__file__).parents[2] / "argocd" / "headrace.dev"
STATUS: dict[str, type[CommonStatus]] = {
    "ValkeyWorker": ValkeyWorkerStatus,
    "PulsarBridge": PulsarBridgeStatus,
    "HybridPipeline": HybridPipelineStatus,
}
TESTS = {kind: yaml.safe_load((ROOT / kind / "health_test.yaml").read_text())["tests"] for kind in STATUS}
CASES = [
    pytest.param(kind, case, id=f"{kind}-{Path(case['inputPath']).stem}")
    for kind, cases in TESTS.items()
    for case in cases
]


def health(kind: str, resource: dict[str, Any]) -> dict[str, str]:
    """What Argo CD would show. It offers Lua's base, table and string libraries, and `obj`."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    for library in ("io", "os", "debug", "package", "require", "python"):
        lua.globals()[library] = None
    lua.globals()["obj"] = lua.table_from(resource, recursive=True)
    return dict(lua.execute((ROOT / kind / "health.lua").read_text()))


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_health(kind: str, case: dict[str, Any]) -> None:
    resource = yaml.safe_load((ROOT / kind / case["inputPath"]).read_text())
    assert health(kind, resource) == case["healthStatus"]


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_cases_are_resources_as_the_api_knows_them(kind: str, case: dict[str, Any]) -> None:
    resource = yaml.safe_load((ROOT / kind / case["inputPath"]).read_text())
    assert resource["kind"] == kind
    parse({model.__name__: model for model in KINDS}[kind], resource)
    STATUS[kind].model_validate(resource.get("status", {}))


@pytest.mark.parametrize("kind", STATUS)
def test_every_state_is_among_the_cases(kind: str) -> None:
    states = {case["healthStatus"]["status"] for case in TESTS[kind]}
    assert states == {"Healthy", "Progressing", "Degraded", "Suspended"}
    listed = {case["inputPath"] for case in TESTS[kind]}
    assert {f"testdata/{path.name}" for path in (ROOT / kind / "testdata").iterdir()} == listed


def test_the_kinds_share_one_rule() -> None:
    """Argo CD's layout wants a file for each kind; they must not drift apart."""
    assert len({(ROOT / kind / "health.lua").read_text() for kind in STATUS}) == 1


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}])
def test_a_status_without_conditions_is_progress(status: dict[str, Any]) -> None:
    resource = {"metadata": {"generation": 1}, "status": status}
    assert health("ValkeyWorker", resource)["status"] == "Progressing"


def test_the_page_shows_the_file_that_is_tested() -> None:
    assert "headrace.dev/KIND/health.lua" in (ROOT.parent / "README.md").read_text()
