"""What every resource has: metadata, the parser, and its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import Field, ValidationError

from headrace.api.model import ApiModel, OpenModel

GROUP = "headrace.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "headrace"

ANNOTATION_CONFIG_HASH = f"{GROUP}/config-hash"
ANNOTATION_RECONCILE_REQUESTED_AT = f"{GROUP}/reconcile-requested-at"
LABEL_KIND = f"{GROUP}/kind"
LABEL_NAME = f"{GROUP}/name"


class ObjectMeta(OpenModel):
    """The part of ``metadata`` that Headrace reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: str | None = None


class Resource(OpenModel):
    """One custom resource. ``status`` is kept raw: it is ours to write, never an input of a plan."""

    plural: ClassVar[str]
    short_name: ClassVar[str]

    api_version: str = API_VERSION
    kind: str
    metadata: ObjectMeta
    spec: ApiModel
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def identity(self) -> str:
        """``Kind/namespace/name``: how a resource signs what it owns outside Kubernetes."""
        return f"{self.kind}/{self.metadata.namespace}/{self.metadata.name}"

    @property
    def key_prefix(self) -> str:
        """What our own Valkey keys of a resource begin with; the braces keep them on one shard of a cluster."""
        return f"headrace:{{{self.metadata.namespace}/{self.metadata.name}}}"


class InvalidResourceError(Exception):
    """A resource that the models refuse; the text names the field and says what to write."""


R = TypeVar("R", bound=Resource)


def parse(model: type[R], body: Mapping[str, Any]) -> R:
    """Parse *body* as *model*; raise :class:`InvalidResourceError` with one readable line."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidResourceError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """One line for people: ``spec.celery.app: …; spec.replicas: …``. Input values are left out: they may be secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown field"
        lines.append(f"{path}: {message}" if path else message)
    return "; ".join(lines)
