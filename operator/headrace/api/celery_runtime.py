"""How Celery runs: the app, its pool, its results, its queues."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from headrace.api.celery_broker import LONGEST_SQS_NAME, Broker, BrokerType
from headrace.api.model import ApiModel, Rule
from headrace.api.policy import Positive

QueueName = Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9_.:-]+$")]
TaskName = Annotated[str, Field(min_length=1, max_length=256, pattern="^[A-Za-z_][A-Za-z0-9_.:-]*$")]

_APP = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"


class Pool(StrEnum):
    """Celery's execution pools."""

    PREFORK = "Prefork"
    THREADS = "Threads"
    SOLO = "Solo"
    GEVENT = "Gevent"


class Queue(ApiModel):
    """A Celery queue: a Valkey list."""

    name: QueueName
    """Name of the queue."""


class Results(ApiModel):
    """Celery's result backend, in a Valkey database of its own."""

    enabled: bool = True
    """Keep results for `AsyncResult.get()`. Off saves a round trip a task. Default true."""
    database: Annotated[int, Field(ge=0, le=9999)] = 1
    """Database number. Default 1."""
    expire_seconds: Positive = 86_400
    """How long a result is kept. Default 86400."""


class Beat(ApiModel):
    """Celery's scheduler of periodic tasks, in the worker's own pods; one is active, the others stand by."""

    enabled: bool = False
    """Send the entries of the app's `beat_schedule` when they are due. Default false."""


class CeleryRuntime(ApiModel):
    """How Celery runs; the settings that lose messages by default are fixed to safe values."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"self.app.matches('{_APP}')",
            message="app must read module:attribute, such as shop.tasks:app",
            holds=lambda self: bool(re.match(_APP, self.app)),
        ),
        Rule(
            cel="!has(self.softTimeLimitSeconds) || !has(self.timeLimitSeconds)"
            " || self.softTimeLimitSeconds < self.timeLimitSeconds",
            message="softTimeLimitSeconds must be less than timeLimitSeconds",
            holds=lambda self: (
                self.soft_time_limit_seconds is None
                or self.time_limit_seconds is None
                or self.soft_time_limit_seconds < self.time_limit_seconds
            ),
        ),
        Rule(
            cel="!has(self.pool) || self.pool == 'Prefork' || !(has(self.timeLimitSeconds)"
            " || has(self.softTimeLimitSeconds) || has(self.maxTasksPerChild) || has(self.maxMemoryPerChildMebibytes))",
            message="timeLimitSeconds, softTimeLimitSeconds, maxTasksPerChild and maxMemoryPerChildMebibytes"
            " need pool: Prefork",
            holds=lambda self: (
                self.pool is Pool.PREFORK
                or (
                    self.time_limit_seconds,
                    self.soft_time_limit_seconds,
                    self.max_tasks_per_child,
                    self.max_memory_per_child_mebibytes,
                )
                == (None,) * 4
            ),
        ),
        Rule(
            cel="!has(self.pool) || self.pool != 'Solo' || !has(self.concurrency) || self.concurrency == 1",
            message="pool: Solo runs one task at a time: leave concurrency out, or set it to 1",
            holds=lambda self: (
                self.pool is not Pool.SOLO or "concurrency" not in self.model_fields_set or self.concurrency == 1
            ),
        ),
    )

    app: Annotated[str, Field(max_length=256)]
    """The Celery app, `module:attribute`, such as `shop.tasks:app`."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 4
    """Tasks at once in each pod. Default 4; one with pool Solo."""
    pool: Pool = Pool.PREFORK
    """Prefork (the default), Threads, Solo, or Gevent for tasks that mostly wait for the network."""
    results: Results = Results()
    """The result backend."""
    prefetch_multiplier: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many tasks a pod holds for each that it can run at once. A larger number makes short tasks cheaper, and lets
    them wait behind a long one while another pod is idle. Default 1."""
    time_limit_seconds: Positive | None = None
    """A task that runs longer is killed. No limit when left out."""
    soft_time_limit_seconds: Positive | None = None
    """A task that runs longer gets SoftTimeLimitExceeded. No limit when left out."""
    max_tasks_per_child: Positive | None = None
    """A child process is replaced after so many tasks. Never when left out."""
    max_memory_per_child_mebibytes: Positive | None = None
    """A child process that uses more memory is replaced after its task. Never when left out."""
    not_consuming_seconds: Annotated[int, Field(ge=5, le=86_400)] = 120
    """A pod that holds no task for so long, while tasks wait in its queues, connects anew, and is restarted when that
    does not help. Default 120."""

    @property
    def slots(self) -> int:
        """How many tasks a pod runs at once."""
        return 1 if self.pool is Pool.SOLO else self.concurrency


def _sqs_takes_names(celery: Celery) -> bool:
    sqs = celery.broker.sqs
    return sqs is None or all(len(sqs.queue_name_prefix + queue.name) <= LONGEST_SQS_NAME for queue in celery.queues)


def _sqs_outlasts_tasks(celery: Celery) -> bool:
    sqs, limit = celery.broker.sqs, celery.time_limit_seconds
    return sqs is None or limit is None or limit < sqs.visibility_timeout_seconds


_SQS = "has(self.broker) && has(self.broker.sqs)"
_SQS_PREFIX = "(has(self.broker.sqs.queueNamePrefix) ? size(self.broker.sqs.queueNamePrefix) : 0)"
_SQS_TIMEOUT = "(has(self.broker.sqs.visibilityTimeoutSeconds) ? self.broker.sqs.visibilityTimeoutSeconds : 1800)"


class Celery(CeleryRuntime):
    """Celery and the queues it serves."""

    rules = (
        *CeleryRuntime.rules,
        Rule(
            cel="!has(self.broker) || !has(self.broker.type) || self.broker.type != 'Memory'"
            " || (has(self.pool) && self.pool != 'Prefork')",
            message="broker.type: Memory needs pool: Threads, Solo or Gevent: its tasks never leave the process",
            holds=lambda self: self.broker.type is not BrokerType.MEMORY or self.pool is not Pool.PREFORK,
        ),
        Rule(
            cel="!has(self.beat) || !has(self.beat.enabled) || !self.beat.enabled"
            " || !has(self.broker) || !has(self.broker.type) || self.broker.type == 'Valkey'",
            message="beat.enabled needs broker.type: Valkey: a tick and the record of it are one step in Valkey;"
            " run celery beat beside the workers of another broker",
            holds=lambda self: not self.beat.enabled or self.broker.type is BrokerType.VALKEY,
        ),
        Rule(
            cel=f"!({_SQS}) || !has(self.queues) || self.queues.all(queue,"
            f" {_SQS_PREFIX} + size(queue.name) <= {LONGEST_SQS_NAME})",
            message=f"broker.sqs.queueNamePrefix and a queue's name may have {LONGEST_SQS_NAME} characters together",
            holds=_sqs_takes_names,
        ),
        Rule(
            cel=f"!({_SQS}) || !has(self.timeLimitSeconds) || self.timeLimitSeconds < {_SQS_TIMEOUT}",
            message="broker.sqs.visibilityTimeoutSeconds (1800 when left out) must be greater than timeLimitSeconds:"
            " SQS hands a task out again when it runs longer",
            holds=_sqs_outlasts_tasks,
        ),
    )

    broker: Broker = Broker()
    """What carries the tasks: Valkey when left out."""
    queues: tuple[Queue, ...] = Field(
        default=(Queue(name="celery"),),
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Queues that the worker serves. Celery's default queue, `celery`, when left out."""
    beat: Beat = Beat()
    """Periodic tasks."""
