"""The children that workers and bridges have alike."""

from typing import Any

from headrace.desired.config_map import build_config_map
from headrace.desired.deployment import build_deployment
from headrace.desired.inputs import Inputs
from headrace.desired.pod_disruption_budget import build_pod_disruption_budget
from headrace.desired.pod_monitor import build_pod_monitor
from headrace.desired.service import build_service
from headrace.desired.workload import Workload


def workload_objects(resource: Workload, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The children of *resource* in the order in which to apply them: what pods read comes before the pods."""
    objects = [
        build_config_map(resource),
        build_service(resource),
        build_pod_disruption_budget(resource),
        build_deployment(resource, inputs),
    ]
    if inputs.monitoring:
        objects.append(build_pod_monitor(resource))
    return tuple(child for child in objects if child is not None)
