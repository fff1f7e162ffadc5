"""Labels on children and pods.

Nothing of the user's metadata is copied: a copied ``argocd.argoproj.io/instance`` or
``kubectl.kubernetes.io/last-applied-configuration`` makes other tools believe that they own the child.
"""

from typing import Any

from headrace.api.resource import LABEL_KIND, LABEL_NAME, Resource
from headrace.desired.names import label_value

_APPLICATION = {
    "ValkeyWorker": "headrace-worker",
    "PulsarBridge": "headrace-bridge",
    "HybridPipeline": "headrace-pipeline",
}


def child_labels(resource: Resource) -> dict[str, str]:
    """The labels of every child of *resource*; values longer than 63 characters are cut and hashed."""
    return {
        "app.kubernetes.io/name": _APPLICATION[resource.kind],
        "app.kubernetes.io/instance": label_value(resource.metadata.name),
        "app.kubernetes.io/managed-by": "headrace",
        **pod_selector(resource),
    }


def pod_selector(resource: Resource) -> dict[str, str]:
    """The labels that select the pods of *resource*. A Deployment's selector can never change, so these are few."""
    return {LABEL_KIND: resource.kind, LABEL_NAME: label_value(resource.metadata.name)}


def selector_string(resource: Resource) -> str:
    """:func:`pod_selector` as the scale subresource wants it, ``key=value,key=value``."""
    return ",".join(f"{key}={value}" for key, value in pod_selector(resource).items())


def child_metadata(resource: Resource, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Metadata of the child *name* of *resource*; *labels* are the user's, and ours win."""
    return {
        "name": name,
        "namespace": resource.metadata.namespace,
        "labels": {**(labels or {}), **child_labels(resource)},
        "ownerReferences": [
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": resource.metadata.name,
                "uid": resource.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
