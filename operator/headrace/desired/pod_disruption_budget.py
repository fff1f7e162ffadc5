"""The PodDisruptionBudget: a drain takes one pod at a time."""

from typing import Any

from headrace.desired.labels import child_metadata, pod_selector
from headrace.desired.workload import Workload, effective_replicas, workload_name


def build_pod_disruption_budget(resource: Workload) -> dict[str, Any] | None:
    """The budget of *resource*; None up to one pod, where a budget would only stop node drains for ever."""
    if effective_replicas(resource) <= 1:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(resource, workload_name(resource)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": pod_selector(resource)}},
    }
