"""The golden cases, and how to build what they want."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from headrace.api.crd import KINDS
from headrace.api.resource import Resource, parse
from headrace.desired import hybrid_pipeline, pulsar_bridge, valkey_worker
from headrace.desired.inputs import Inputs

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "desired"
INPUTS = Inputs(worker_image="headrace-worker:1.2.3", secrets_hash="5ec4e7", monitoring=True)
BUILDERS = {
    "ValkeyWorker": valkey_worker.desired_objects,
    "PulsarBridge": pulsar_bridge.desired_objects,
    "HybridPipeline": hybrid_pipeline.desired_objects,
}
MODELS = {kind.__name__: kind for kind in KINDS}


def load(case: str) -> Any:
    """The resource of a golden case."""
    body = yaml.safe_load((GOLDEN / case / "resource.yaml").read_text())
    return parse(MODELS[body["kind"]], body)


def desired(resource: Resource, inputs: Inputs = INPUTS) -> tuple[dict[str, Any], ...]:
    """The children of any resource."""
    return BUILDERS[resource.kind](resource, inputs)  # type: ignore[operator,no-any-return]


def descendants(resource: Resource, inputs: Inputs = INPUTS) -> Iterator[dict[str, Any]]:
    """Children, and the children that those would have: each child resource is parsed as the operator does."""
    for child in desired(resource, inputs):
        yield child
        if child["kind"] in MODELS:
            body = {**child, "metadata": {**child["metadata"], "uid": f"uid-of-{child['metadata']['name']}"}}
            yield from descendants(parse(MODELS[child["kind"]], body), inputs)


CASES = sorted(path.name for path in GOLDEN.iterdir())
