"""The PrometheusRule of a resource."""

from collections.abc import Sequence
from typing import Any

from headrace.api.policy import Alerts
from headrace.api.resource import Resource
from headrace.desired.alert import Alert, build_rule
from headrace.desired.labels import child_metadata


def build_prometheus_rule(
    resource: Resource, name: str, settings: Alerts, alerts: Sequence[Alert]
) -> dict[str, Any] | None:
    """The rule *name* with *alerts*; None when the user wants none, or none applies."""
    if not settings.enabled or not alerts:
        return None
    group = f"headrace.{resource.kind}.{resource.metadata.namespace}.{resource.metadata.name}"
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": child_metadata(resource, name, settings.labels),
        "spec": {"groups": [{"name": group, "rules": [build_rule(alert, resource) for alert in alerts]}]},
    }
