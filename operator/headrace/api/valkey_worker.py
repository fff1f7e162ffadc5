"""``ValkeyWorker``: workers that take their work from Valkey."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from headrace.api import loops
from headrace.api.celery_broker import Broker
from headrace.api.celery_runtime import Celery, TaskName
from headrace.api.connection import ValkeyConnection
from headrace.api.model import ApiModel, Rule
from headrace.api.pod import Pod, replicas_field
from headrace.api.policy import WINDOW_SECONDS, Alerts, Positive, Retry, ValkeyKey
from headrace.api.resource import Resource
from headrace.api.worker_modes import HandlerRuntime, Mode, Polling, PubSub, Stream

SHUTDOWN_MARGIN_SECONDS = 5
"""Kept of the pod's grace period to give back what is unfinished."""


class Outbox(ApiModel):
    """Hands results to a PulsarBridge, through a Valkey list; once a task or a message, whatever happens."""

    key: ValkeyKey
    """The list; the bridge reads it as `source.valkey.list` with `format: Outbox`."""
    tasks: tuple[TaskName, ...] = Field(default=(), max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    """Tasks whose results are handed over, in mode Celery. In the other modes all results are that are not None."""
    window_seconds: Positive = WINDOW_SECONDS
    """How long a finished task is remembered, so that running it again gives no second result. Default 86400.
    In mode Celery; the other modes acknowledge a message and hand its result over in one step."""


class DeadLetterList(ApiModel):
    """Where tasks and messages go that failed for good."""

    key: ValkeyKey
    """A Valkey list. Each entry holds the task and its arguments, or the message, the reason and the number of
    attempts."""


_IS_CELERY = "(!has(self.mode) || self.mode == 'Celery')"


def _block(mode: Mode, field: str) -> Rule:
    """A rule: the block *field* stands there exactly in *mode*."""
    chosen = _IS_CELERY if mode is Mode.CELERY else f"(has(self.mode) && self.mode == '{mode}')"
    return Rule(
        cel=f"has(self.{field}) == {chosen}",
        message=f"mode: {mode} and the block {field} go together: write both, or neither",
        holds=lambda self: (getattr(self, to_snake(field)) is not None) == (self.mode is mode),
    )


class ValkeyWorkerSpec(ApiModel):
    """What a ValkeyWorker should be."""

    rules = (
        _block(Mode.CELERY, "celery"),
        _block(Mode.PUB_SUB, "pubSub"),
        _block(Mode.POLLING, "polling"),
        _block(Mode.STREAM, "stream"),
        Rule(
            cel=f"!has(self.outbox) || !{_IS_CELERY} || (has(self.outbox.tasks) && size(self.outbox.tasks) > 0)",
            message="outbox needs tasks in mode: Celery: name those whose results are handed over",
            holds=lambda self: self.outbox is None or self.mode is not Mode.CELERY or bool(self.outbox.tasks),
        ),
        Rule(
            cel=f"!has(self.outbox) || {_IS_CELERY} || !(has(self.outbox.tasks) || has(self.outbox.windowSeconds))",
            message="outbox.tasks and outbox.windowSeconds go with mode: Celery: leave them out",
            holds=lambda self: (
                self.outbox is None or self.mode is Mode.CELERY or self.outbox.model_fields_set <= {"key"}
            ),
        ),
        *loops.WORKER,
    )

    mode: Mode = Mode.CELERY
    """Celery (the default) runs Celery tasks; PubSub, Polling and Stream run a handler, a plain function, for each
    message. Each mode has its own block."""
    valkey: ValkeyConnection
    """Valkey: the broker, unless `celery.broker` names another one; results, outbox and dead letters in any case."""
    celery: Celery | None = None
    """The Celery app and how it runs."""
    pub_sub: PubSub | None = None
    """Channels and their handler."""
    polling: Polling | None = None
    """A key that is polled, and its handler."""
    stream: Stream | None = None
    """A stream and its handler."""
    outbox: Outbox | None = None
    """Results for Pulsar; none when left out."""
    retry: Retry | None = None
    """Retries of tasks that raise; Celery's own settings when left out. Retries of messages whose handler raises; none
    when left out. What took its pod down is tried five times then."""
    dead_letter: DeadLetterList | None = None
    """Where tasks and messages go that failed for good. When left out, those whose results are handed over go to the
    outbox too, the others are only logged and counted."""
    replicas: int = replicas_field(1, "Number of pods. Default 1.")
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """How long a pod may finish its running tasks or messages when it is stopped. Default 60."""
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
        """The Celery app and how it runs; in mode Celery only."""
        assert self.spec.celery is not None
        return self.spec.celery

    @property
    def broker(self) -> Broker:
        """What carries Celery's tasks; Valkey in the other modes too."""
        return self.spec.celery.broker if self.spec.celery else Broker()

    @property
    def drain_seconds(self) -> int:
        """How long running tasks or messages may go on after SIGTERM."""
        return max(self.spec.termination_grace_period_seconds - SHUTDOWN_MARGIN_SECONDS, 1)

    @property
    def runtime(self) -> HandlerRuntime:
        """How the handler runs; in the other modes only."""
        runtime = self.spec.pub_sub or self.spec.polling or self.spec.stream
        assert runtime is not None
        return runtime
