"""What a user may say about the pods: an allow-list of fields, not all of PodSpec."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from headrace.api.connection import SecretKeyReference, SecretReference
from headrace.api.model import ApiModel
from headrace.api.policy import at_most_one

_QUANTITY = r"^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
Quantity = Annotated[str, Field(pattern=_QUANTITY, max_length=32)]
LabelValue = Annotated[str, Field(max_length=63)]


class PullPolicy(StrEnum):
    """When the kubelet pulls the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ConfigMapKeyReference(ApiModel):
    """One key of a ConfigMap in the resource's own namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key inside the ConfigMap."""


class EnvironmentSource(ApiModel):
    """Where a variable's value comes from."""

    rules = (
        at_most_one(
            "secretKeyRef",
            "configMapKeyRef",
            needed=True,
            message="valueFrom needs one of secretKeyRef and configMapKeyRef",
        ),
    )

    secret_key_ref: SecretKeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: ConfigMapKeyReference | None = None
    """A key of a ConfigMap."""


class EnvironmentVariable(ApiModel):
    """One environment variable."""

    rules = (at_most_one("value", "valueFrom", needed=True, message="an env entry needs one of value and valueFrom"),)

    name: Annotated[str, Field(min_length=1, max_length=253, pattern="^[A-Za-z_][A-Za-z0-9_.-]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=32_768)] | None = None
    """A plain value. Secrets belong in valueFrom.secretKeyRef."""
    value_from: EnvironmentSource | None = None
    """A reference."""


class Resources(ApiModel):
    """CPU and memory of the container."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What the scheduler reserves, such as `cpu: 100m`, `memory: 128Mi`."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """What the container may not exceed."""


class Toleration(ApiModel):
    """A taint that the pods accept; the fields of Kubernetes' own toleration."""

    key: Annotated[str, Field(max_length=253)] | None = None
    """Taint key; every key when left out."""
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$", max_length=8)] | None = None
    """Exists or Equal."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Taint value."""
    effect: Annotated[str, Field(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$", max_length=32)] | None = None
    """NoSchedule, PreferNoSchedule or NoExecute."""
    toleration_seconds: int | None = None
    """For NoExecute: how long the pod stays."""


class Pod(ApiModel):
    """How the pods look."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Container image. The operator's worker image when left out; a Celery app needs its own, built on that."""
    image_pull_policy: PullPolicy | None = None
    """Kubernetes' default when left out."""
    image_pull_secrets: tuple[SecretReference, ...] = Field(default=(), max_length=8)
    """Secrets for a private registry."""
    resources: Resources = Resources()
    """CPU and memory."""
    env: tuple[EnvironmentVariable, ...] = Field(
        default=(),
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Environment variables of the container."""
    labels: dict[str, LabelValue] = Field(default_factory=dict, max_length=32)
    """More labels for the pods; Headrace's own win."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=32)
    """More annotations for the pods; Headrace's own win."""
    node_selector: dict[str, LabelValue] = Field(default_factory=dict, max_length=32)
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that the pods accept."""
    priority_class_name: Annotated[str, Field(max_length=253)] | None = None
    """PriorityClass of the pods."""

    def secret_names(self) -> set[str]:
        """Secrets that the environment refers to."""
        return {
            variable.value_from.secret_key_ref.name
            for variable in self.env
            if variable.value_from and variable.value_from.secret_key_ref
        }


def replicas_field(default: int, description: str) -> Any:
    """`replicas` stands in the CRD with its default: the scale subresource needs a value there."""
    return Field(
        default=default, ge=0, le=1000, description=description, json_schema_extra={"x-headrace-default": True}
    )
