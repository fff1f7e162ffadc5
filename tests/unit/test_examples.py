"""Every example and the demo's pipeline say what the API accepts; the first resource in the README too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import API_VERSION, Resource, parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
MODELS: dict[str, type[Resource]] = {model.__name__: model for model in (ValkeyWorker, PulsarBridge, HybridPipeline)}


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def resources(text: str) -> list[Resource]:
    return [parse(MODELS[each["kind"]], each) for each in documents(text) if each["apiVersion"] == API_VERSION]


def snippets(markdown: Path) -> Iterator[str]:
    """The YAML blocks of a page that are resources of ours."""
    for block in re.findall(r"^```yaml\n(.*?)^```", markdown.read_text(), re.MULTILINE | re.DOTALL):
        if API_VERSION in block:
            yield block


def secrets_wanted(value: object) -> Iterator[tuple[str, str | None]]:
    """All (name, key) of Secret references below a value; the key is None where the Secret as a whole is meant."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith(("SecretRef", "secretRef")):
                yield inner["name"], inner.get("key")
            yield from secrets_wanted(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_wanted(inner)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_accepted_by_the_models(path: Path) -> None:
    assert resources(path.read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_begins_with_what_it_shows(path: Path) -> None:
    assert path.read_text().startswith("# ")


def test_the_program_that_publishes_and_its_bridge_name_one_outbox() -> None:
    (bridge,) = resources((ROOT / "examples" / "hybrid-publish.yaml").read_text())
    assert isinstance(bridge, PulsarBridge)
    assert bridge.spec.source.valkey
    assert bridge.spec.source.valkey.list
    assert f'outbox="{bridge.spec.source.valkey.list.key}"' in (ROOT / "examples" / "hybrid_publish.py").read_text()


def test_every_kind_and_every_way_has_an_example() -> None:
    every = [resource for path in EXAMPLES for resource in resources(path.read_text())]
    assert {resource.kind for resource in every} == set(MODELS)
    ways = {
        (
            *(bridge.spec.source.valkey or bridge.spec.source).model_fields_set,
            bool(bridge.spec.sink.valkey and bridge.spec.sink.valkey.celery),
        )
        for bridge in every
        if isinstance(bridge, PulsarBridge)
    }
    assert ways == {("list", False), ("stream", False), ("pub_sub", False), ("pulsar", True), ("pulsar", False)}


def test_every_mode_has_an_example_whose_handler_exists() -> None:
    every = [each for path in EXAMPLES for each in resources(path.read_text()) if isinstance(each, ValkeyWorker)]
    assert {worker.spec.mode for worker in every} == set(Mode)
    polled = {kind for worker in every if (polling := worker.spec.polling) for kind in polling.model_fields_set}
    assert {"list", "zset", "hash"} <= polled
    tree = ast.parse((ROOT / "examples" / "shop" / "handlers.py").read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    wanted = {worker.runtime.handler for worker in every if worker.spec.mode is not Mode.CELERY}
    assert wanted <= {f"shop.handlers:{name}" for name in defined}


def test_examples_can_be_applied_together() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for path in EXAMPLES for each in documents(path.read_text())]
    assert len(names) == len(set(names))


def test_p6_secrets_that_an_example_wants_stand_beside_it() -> None:
    for path in EXAMPLES:
        every = documents(path.read_text())
        held = {each["metadata"]["name"]: set(each["stringData"]) for each in every if each["kind"] == "Secret"}
        for name, key in secrets_wanted([each["spec"] for each in every if "spec" in each]):
            wanted = {key} if key else {"password", "AWS_SECRET_ACCESS_KEY"}
            assert held[name] & wanted, f"{path.name}: Secret {name}"


def test_the_task_in_the_examples_exists_in_their_app() -> None:
    tree = ast.parse((ROOT / "examples" / "shop" / "tasks.py").read_text())
    named = {
        keyword.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    wanted = {task for path in EXAMPLES for task in re.findall(r"^\s+task: (\S+)", path.read_text(), re.MULTILINE)}
    assert wanted <= named


def test_the_demos_pipeline_is_accepted_by_the_models() -> None:
    (pipeline,) = resources((ROOT / "demo" / "manifests" / "pipeline.yaml").read_text())
    assert isinstance(pipeline, HybridPipeline)


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_resources_in_the_pages_are_accepted_by_the_models(page: str) -> None:
    for block in snippets(ROOT / page):
        resources(block)
