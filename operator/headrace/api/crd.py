"""The models as CustomResourceDefinitions: structural OpenAPI schemas, CEL rules, columns, subresources.

pydantic's JSON schema is not structural (``$ref``, ``anyOf`` with null, ``title``, ``default``); this makes it so.
Defaults are left out, since they resolve in memory (DESIGN.md §3): an API server that writes defaults into ``spec``
makes every GitOps tool see a difference. The one exception is ``replicas``, which the scale subresource needs.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.model import ApiModel
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import GROUP, VERSION, Resource
from headrace.api.status import CommonStatus, HybridPipelineStatus, PulsarBridgeStatus, ValkeyWorkerStatus
from headrace.api.valkey_worker import ValkeyWorker

KINDS: tuple[type[Resource], ...] = (ValkeyWorker, PulsarBridge, HybridPipeline)

_STATUS: dict[type[Resource], type[CommonStatus]] = {
    ValkeyWorker: ValkeyWorkerStatus,
    PulsarBridge: PulsarBridgeStatus,
    HybridPipeline: HybridPipelineStatus,
}

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)

Json = dict[str, Any]


class _WithRules(GenerateJsonSchema):
    """JSON schema with each model's rules beside its properties."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        json_schema = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        if issubclass(model, ApiModel) and model.rules:
            json_schema["x-kubernetes-validations"] = [
                {"rule": rule.cel, "message": rule.message} for rule in model.rules
            ]
        return json_schema


def structural(model: type[BaseModel]) -> Json:
    """The structural schema of *model* (Kubernetes' term: every level typed, no references)."""
    document = model.model_json_schema(by_alias=True, schema_generator=_WithRules)
    return _structural(document, document.get("$defs", {}))


def _structural(node: Json, definitions: Json) -> Json:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _structural({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:  # Optional[X]: an absent field, not a null
        (only,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return _structural({**only, **{key: value for key, value in node.items() if key != "anyOf"}}, definitions)
    schema: Json = {key: node[key] for key in _KEPT if key in node}
    if "const" in node:
        schema["enum"] = [node["const"]]
    if node.get("x-headrace-default"):
        schema["default"] = node["default"]
    if schema.get("type") == "integer":
        schema.setdefault("format", "int64")
    if "properties" in node:
        schema["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
        if required := node.get("required"):
            schema["required"] = required
    elif isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "items" in node:
        schema["items"] = _structural(node["items"], definitions)
    return schema


def _columns(kind: type[Resource]) -> list[Json]:
    def column(name: str, path: str, of: str, description: str, priority: int = 0) -> Json:
        entry: Json = {"name": name, "type": of, "jsonPath": path, "description": description}
        return {**entry, "priority": priority} if priority else entry

    def condition(field: str, of: str = "Ready") -> str:
        return f'.status.conditions[?(@.type=="{of}")].{field}'

    ready = column("Ready", condition("status"), "string", "Is it working")
    backlog = column("Backlog", ".status.backlog", "integer", "How much waits")
    dead = column("Dead", ".status.deadLetters", "integer", "How much lies in the dead-letter topic or list")
    age = column("Age", ".metadata.creationTimestamp", "date", "Since when it exists")
    wide = [
        column("Reason", condition("reason"), "string", "Why it is (not) ready, in one word", 1),
        column("Message", condition("message"), "string", "Why it is (not) ready", 1),
    ]
    pods = [
        column("Desired", ".spec.replicas", "integer", "Pods wanted"),
        column("Pods", ".status.readyReplicas", "integer", "Pods that are ready"),
    ]
    if kind is ValkeyWorker:
        in_flight = column("In-Flight", ".status.inFlight", "integer", "Tasks that are being worked on")
        return [ready, *pods, backlog, in_flight, dead, age, *wide]
    if kind is PulsarBridge:
        direction = column("Direction", ".status.direction", "string", "Which way it moves messages")
        return [direction, ready, *pods, backlog, dead, age, *wide]
    bottleneck = column("Bottleneck", ".status.bottleneck", "string", "The stage before which most waits")
    stages = [
        column("Ingest", condition("status", "IngestReady"), "string", "Is the first bridge ready", 1),
        column("Process", condition("status", "ProcessingReady"), "string", "Are the workers ready", 1),
        column("Results", condition("status", "ResultsReady"), "string", "Is the second bridge ready", 1),
    ]
    return [ready, backlog, dead, bottleneck, age, *stages, *wide]


def custom_resource_definition(kind: type[Resource]) -> Json:
    """The complete CustomResourceDefinition of *kind*."""
    subresources: Json = {"status": {}}
    if kind is not HybridPipeline:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    name = kind.__name__
    spec_model = kind.model_fields["spec"].annotation
    assert isinstance(spec_model, type)
    schema: Json = {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec_model),
            "status": structural(_STATUS[kind]),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["headrace"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(kind),
                    "subresources": subresources,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
