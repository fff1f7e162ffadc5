"""The PodMonitor: Prometheus scrapes every pod of a resource."""

from typing import Any

from headrace.desired.labels import child_metadata, pod_selector
from headrace.desired.service import HTTP_PORT_NAME
from headrace.desired.workload import Workload, workload_name

SCRAPE_INTERVAL = "15s"
"""Stated here because the alerts look at rates over one minute: the default of some installations is a minute."""


def build_pod_monitor(resource: Workload) -> dict[str, Any]:
    """The PodMonitor of *resource*, with the labels that its alerts have, so that one Prometheus selects both."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": child_metadata(resource, workload_name(resource), resource.spec.alerts.labels),
        "spec": {
            "selector": {"matchLabels": pod_selector(resource)},
            "podMetricsEndpoints": [
                {
                    "port": HTTP_PORT_NAME,
                    "path": "/metrics",
                    "interval": SCRAPE_INTERVAL,
                    # Our series bring `namespace` themselves; without this they would read `exported_namespace`.
                    "honorLabels": True,
                }
            ],
        },
    }


def job_label(resource: Workload) -> str:
    """The ``job`` that the Prometheus operator gives to every series of these pods: ``<namespace>/<PodMonitor>``."""
    return f"{resource.metadata.namespace}/{workload_name(resource)}"
