"""The Deployment that runs a worker or a bridge."""

from typing import Any

from headrace.desired.inputs import Inputs
from headrace.desired.labels import child_metadata, pod_selector
from headrace.desired.pod_template import build_pod_template
from headrace.desired.workload import Workload, effective_replicas, workload_name


def build_deployment(resource: Workload, inputs: Inputs) -> dict[str, Any]:
    """The Deployment of *resource*.

    A new pod is up before an old one goes, for bridges too. Two bridges at once are safe: the second stands by, on a
    Failover subscription or without the list's lease. It takes over at once when the old one ends, where `Recreate`
    would leave a gap as long as a pod's start.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(resource, workload_name(resource)),
        "spec": {
            "replicas": effective_replicas(resource),
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": pod_selector(resource)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": build_pod_template(resource, inputs),
        },
    }
