"""``ValkeyWorker``: workers that take their work from Valkey."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headrace.api.celery_runtime import Celery, TaskName
from headrace.api.connection import ValkeyConnection
from headrace.api.model import ApiModel
from headrace.api.pod import Pod, replicas_field
from headrace.api.policy import WINDOW_SECONDS, Alerts, Positive, Retry, ValkeyKey
from headrace.api.resource import Resource


class Mode(StrEnum):
    """What kind of worker runs."""

    CELERY = "Celery"


class Outbox(ApiModel):
    """Hands the results of some tasks to a PulsarBridge, through a Valkey list; once a task, whatever happens."""

    key: ValkeyKey
    """The list; the bridge reads it as `source.valkey.list` with `format: Outbox`."""
    tasks: tuple[TaskName, ...] = Field(
        min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Tasks whose results are handed over."""
    window_seconds: Positive = WINDOW_SECONDS
    """How long a finished task is remembered, so that running it again gives no second result. Default 86400."""


class DeadLetterList(ApiModel):
    """Where tasks go that failed for good."""

    key: ValkeyKey
    """A Valkey list. Each entry holds the task, its arguments, the reason and the number of attempts."""


class ValkeyWorkerSpec(ApiModel):
    """What a ValkeyWorker should be."""

    mode: Literal[Mode.CELERY] = Mode.CELERY
    """Celery."""
    valkey: ValkeyConnection
    """The broker."""
    celery: Celery
    """The Celery app and how it runs."""
    outbox: Outbox | None = None
    """Results for Pulsar; none when left out."""
    retry: Retry | None = None
    """Retries of tasks that raise. Celery's own settings when left out."""
    dead_letter: DeadLetterList | None = None
    """Where tasks go that failed for good; they are only logged and counted when left out."""
    replicas: int = replicas_field(1, "Number of pods. Default 1.")
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """How long a pod may finish its running tasks when it is stopped. Default 60."""
    alerts: Alerts = Alerts()
    """Alerts on backlog and failures."""
    pod: Pod = Pod()
    """How the pods look."""
    suspend: bool = False
    """Stop all pods; work stays in Valkey. Default false."""


class ValkeyWorker(Resource):
    """Workers that take their work from Valkey."""

    plural: ClassVar[str] = "valkeyworkers"
    short_name: ClassVar[str] = "vkw"

    kind: Literal["ValkeyWorker"] = "ValkeyWorker"
    spec: ValkeyWorkerSpec

    @property
    def celery(self) -> Celery:
        """The Celery app and how it runs."""
        return self.spec.celery
