"""The pod template: what Pod Security *restricted* asks for, and the few fields that a user may set."""

from typing import Any

from headrace.api.pod import Pod
from headrace.api.resource import ANNOTATION_CONFIG_HASH
from headrace.desired.config_map import config_hash
from headrace.desired.inputs import Inputs
from headrace.desired.labels import child_labels, pod_selector
from headrace.desired.mounted_config import MOUNT_PATH, VOLUME_NAME, build_config_volume
from headrace.desired.quantity import canonical
from headrace.desired.service import HTTP_PORT, HTTP_PORT_NAME
from headrace.desired.workload import Workload, role, termination_grace_seconds

USER_ID = 65532
"""The images' user, and the group that may read the mounted Secrets."""


def build_pod_template(resource: Workload, inputs: Inputs) -> dict[str, Any]:
    """The template of *resource*'s pods; ours wins over the user's labels and annotations."""
    pod = resource.spec.pod
    return {
        "metadata": {
            "labels": {**pod.labels, **child_labels(resource)},
            "annotations": {**pod.annotations, ANNOTATION_CONFIG_HASH: config_hash(resource, inputs)},
        },
        "spec": {
            "containers": [_container(resource, inputs)],
            "volumes": [build_config_volume(resource), {"name": "tmp", "emptyDir": {}}],
            "terminationGracePeriodSeconds": termination_grace_seconds(resource),
            # The pods never talk to the Kubernetes API, and hundreds of Service variables help nobody.
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **_placement(resource),
        },
    }


def _container(resource: Workload, inputs: Inputs) -> dict[str, Any]:
    pod = resource.spec.pod
    container: dict[str, Any] = {
        "name": role(resource),
        "image": pod.image or inputs.worker_image,
        # Both are stated: an image built on ours may have an entry point of its own.
        "command": ["headrace"],
        "args": [role(resource)],
        "ports": [{"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"}],
        **_probes(),
        # File only: a fallback to logs would copy a task's output into the pod's status, and from there into ours.
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": VOLUME_NAME, "mountPath": MOUNT_PATH, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # a path in the pod
        ],
    }
    if pod.image_pull_policy:
        container["imagePullPolicy"] = pod.image_pull_policy.value
    if pod.env:
        container["env"] = [variable.to_wire() for variable in pod.env]
    resources = _resources(pod)
    if resources:
        container["resources"] = resources
    return container


def _probes() -> dict[str, Any]:
    """A broken broker must never restart a pod, so only ``/livez`` may: it knows of no broker.

    The start probe gives an app two minutes to import; after that ``/livez`` may fail for a minute.
    """
    return {
        "startupProbe": _probe("/livez", period_seconds=2, failures=60),
        "livenessProbe": _probe("/livez", period_seconds=10, failures=6),
        "readinessProbe": _probe("/readyz", period_seconds=5, failures=3),
    }


def _probe(path: str, *, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME},
        "periodSeconds": period_seconds,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _resources(pod: Pod) -> dict[str, Any]:
    wanted = {"requests": pod.resources.requests, "limits": pod.resources.limits}
    return {
        kind: {name: canonical(quantity) for name, quantity in quantities.items()}
        for kind, quantities in wanted.items()
        if quantities
    }


def _placement(resource: Workload) -> dict[str, Any]:
    pod = resource.spec.pod
    placement: dict[str, Any] = {}
    if pod.image_pull_secrets:
        placement["imagePullSecrets"] = [secret.to_wire() for secret in pod.image_pull_secrets]
    if pod.node_selector:
        placement["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerations:
        placement["tolerations"] = [toleration.to_wire() for toleration in pod.tolerations]
    if pod.priority_class_name:
        placement["priorityClassName"] = pod.priority_class_name
    # Also where there is one pod: were it added with the second, scaling would roll the first.
    placement["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": pod_selector(resource)},
        }
    ]
    return placement
