"""The desired children of any resource of ours."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from headrace.api.resource import InvalidResourceError, Resource, describe
from headrace.desired import hybrid_pipeline, pulsar_bridge, valkey_worker
from headrace.desired.inputs import Inputs

_BUILDERS: Mapping[str, Callable[[Any, Inputs], tuple[dict[str, Any], ...]]] = {
    "ValkeyWorker": valkey_worker.desired_objects,
    "PulsarBridge": pulsar_bridge.desired_objects,
    "HybridPipeline": hybrid_pipeline.desired_objects,
}


def desired_children(resource: Resource, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The children of *resource*, in the order in which to apply them.

    Raises InvalidResourceError when a pipeline adds up to a child that the API refuses, such as a dead-letter topic
    with too long a name.
    """
    try:
        return _BUILDERS[resource.kind](resource, inputs)
    except ValidationError as error:
        raise InvalidResourceError(describe(error)) from None
