"""The children that workers and bridges have alike."""

from typing import Any

from headrace.api.valkey_worker import ValkeyWorker
from headrace.desired.bridge_alerts import bridge_alerts
from headrace.desired.config_map import build_config_map
from headrace.desired.deployment import build_deployment
from headrace.desired.inputs import Inputs
from headrace.desired.pod_disruption_budget import build_pod_disruption_budget
from headrace.desired.pod_monitor import build_pod_monitor
from headrace.desired.prometheus_rule import build_prometheus_rule
from headrace.desired.service import build_service
from headrace.desired.worker_alerts import worker_alerts
from headrace.desired.workload import Workload, workload_name


def workload_objects(resource: Workload, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The children of *resource* in the order in which to apply them: what pods read comes before the pods."""
    objects = [
        build_config_map(resource),
        build_service(resource),
        build_pod_disruption_budget(resource),
        build_deployment(resource, inputs),
    ]
    if inputs.monitoring:
        alerts = worker_alerts(resource) if isinstance(resource, ValkeyWorker) else bridge_alerts(resource)
        objects += [
            build_pod_monitor(resource),
            build_prometheus_rule(resource, workload_name(resource), resource.spec.alerts, alerts),
        ]
    return tuple(child for child in objects if child is not None)
