"""The headless Service: a DNS name for the pods' metrics and probes. Nobody sends work through it."""

from typing import Any

from headrace.desired.labels import child_metadata, pod_selector
from headrace.desired.workload import Workload, workload_name

HTTP_PORT = 8080
"""The pods' port for ``/livez``, ``/readyz`` and ``/metrics``."""
HTTP_PORT_NAME = "http"


def build_service(resource: Workload) -> dict[str, Any]:
    """The Service of *resource*; pods that are not ready are listed too, for they are the ones to look at."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(resource, workload_name(resource)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": pod_selector(resource),
            "ports": [
                {"name": HTTP_PORT_NAME, "port": HTTP_PORT, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"},
            ],
        },
    }
