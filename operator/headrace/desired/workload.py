"""What a resource with pods of its own is to the builders."""

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.valkey_worker import ValkeyWorker
from headrace.desired.names import child_name

Workload = ValkeyWorker | PulsarBridge

BRIDGE_GRACE_SECONDS = 30
"""A bridge ends its cut or its batch and goes; what is unfinished is found again at the source."""


def role(resource: Workload) -> str:
    """``worker`` or ``bridge``: the container's name, the command's argument and the children's suffix."""
    return "worker" if isinstance(resource, ValkeyWorker) else "bridge"


def workload_name(resource: Workload) -> str:
    """The name that all children of *resource* have."""
    return child_name(resource.metadata.name, role(resource))


def effective_replicas(resource: Workload) -> int:
    """Pods that should run: none while suspended."""
    return 0 if resource.spec.suspend else resource.spec.replicas


def termination_grace_seconds(resource: Workload) -> int:
    """How long a pod may take to stop, in seconds."""
    if isinstance(resource, ValkeyWorker):
        return resource.spec.termination_grace_period_seconds
    return BRIDGE_GRACE_SECONDS
