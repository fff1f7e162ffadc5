"""Every Kubernetes kind the operator reads or writes, with its place in the REST API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import API_VERSION, Resource
from headrace.api.valkey_worker import ValkeyWorker

MONITORING_GROUP = "monitoring.coreos.com"

MODELS: Mapping[str, type[Resource]] = {
    "ValkeyWorker": ValkeyWorker,
    "PulsarBridge": PulsarBridge,
    "HybridPipeline": HybridPipeline,
}
"""The resources this operator reconciles."""


@dataclass(frozen=True)
class Kind:
    """A kind and where the API server serves it."""

    api_version: str
    plural: str
    name: str

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version without the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection, of one object, or of its subresource."""
        parts = [f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"]
        if namespace:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


DEPLOYMENT = Kind("apps/v1", "deployments", "Deployment")
CONFIG_MAP = Kind("v1", "configmaps", "ConfigMap")
SERVICE = Kind("v1", "services", "Service")
SECRET = Kind("v1", "secrets", "Secret")
POD = Kind("v1", "pods", "Pod")
EVENT = Kind("v1", "events", "Event")
LEASE = Kind("coordination.k8s.io/v1", "leases", "Lease")
DISRUPTION_BUDGET = Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
POD_MONITOR = Kind(f"{MONITORING_GROUP}/v1", "podmonitors", "PodMonitor")
PROMETHEUS_RULE = Kind(f"{MONITORING_GROUP}/v1", "prometheusrules", "PrometheusRule")

RESOURCES = tuple(Kind(API_VERSION, model.plural, name) for name, model in MODELS.items())
"""Our own three kinds."""

CHILDREN = (DEPLOYMENT, CONFIG_MAP, SERVICE, DISRUPTION_BUDGET)
"""Kinds of children that every cluster has."""

MONITORING = (POD_MONITOR, PROMETHEUS_RULE)
"""Kinds of children that stand only where the Prometheus operator's CRDs are installed."""

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*RESOURCES, *CHILDREN, *MONITORING, SECRET, POD, EVENT, LEASE)
}


@dataclass(frozen=True, order=True)
class Key:
    """Which resource: what the queue holds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, order=True)
class Reference:
    """Which object, ours or not."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Reference":
        """The reference of a complete object."""
        metadata = body["metadata"]
        return cls(body["kind"], metadata.get("namespace", ""), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
