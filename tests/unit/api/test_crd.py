"""The generated schemas: structural, described, without defaults that an API server would write into a spec."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.api.crd import KINDS, custom_resource_definition
from headrace.api.resource import Resource

Json = dict[str, Any]


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema node with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def part(kind: type[Resource], name: str) -> Json:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    schema: Json = version["schema"]["openAPIV3Schema"]["properties"][name]
    return schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_typed_and_described(kind: type[Resource]) -> None:
    for name in ("spec", "status"):
        for path, node in nodes(part(kind, name)):
            assert node.get("type"), path
            if not path.endswith(("[]", "{}")):
                assert node.get("description"), f"{kind.__name__}.{name}{path} has no description"


@pytest.mark.parametrize("kind", KINDS)
def test_p4_no_default_but_replicas(kind: type[Resource]) -> None:
    defaults = [path for path, node in nodes(part(kind, "spec")) if "default" in node]
    assert defaults in ([".replicas"], [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_bound_that_cel_cost_needs_is_there(kind: type[Resource]) -> None:
    for path, node in nodes(part(kind, "spec")):
        if node["type"] == "array":
            assert "maxItems" in node, path
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_committed_file_is_current(kind: type[Resource]) -> None:
    committed = yaml.safe_load(Path(f"crds/{kind.plural}.headrace.dev.yaml").read_text())
    assert committed == custom_resource_definition(kind), "run `make crds`"
