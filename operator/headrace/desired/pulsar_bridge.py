"""All that a PulsarBridge wants of Kubernetes."""

from typing import Any

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.desired.inputs import Inputs
from headrace.desired.workload_objects import workload_objects


def desired_objects(resource: PulsarBridge, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The children of *resource*, complete, in the order in which to apply them."""
    return workload_objects(resource, inputs)
