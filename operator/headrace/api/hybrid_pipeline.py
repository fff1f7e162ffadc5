"""``HybridPipeline``: Pulsar in, Celery work, Pulsar out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headrace.api import loops
from headrace.api.bridge_sink import Compression
from headrace.api.celery_runtime import CeleryRuntime, QueueName, TaskName
from headrace.api.connection import PulsarConnection, ValkeyConnection
from headrace.api.model import ApiModel
from headrace.api.pod import Pod
from headrace.api.policy import Alerts, Cache, Deduplicate, Positive, Retry
from headrace.api.pulsar_bridge import DeadLetterTopic
from headrace.api.resource import Resource
from headrace.api.topic import InitialPosition, Namespaces, SubscriptionName, TopicName, Topics

Replicas = Annotated[int, Field(ge=0, le=1000)]


class Ingest(ApiModel):
    """Where events come in."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    subscription: SubscriptionName
    """Name of the pipeline's subscription."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Where a new subscription begins: Earliest (the default) or Latest."""
    replicas: Replicas = 1
    """Pods of the ingest bridge. Default 1."""
    pod: Pod = Pod()
    """How the ingest bridge's pods look."""


class PipelineWorker(ApiModel):
    """The workers that process the events."""

    celery: CeleryRuntime
    """The Celery app and how it runs."""
    replicas: Replicas = 1
    """Number of pods. Default 1."""
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """How long a pod may finish its running tasks when it is stopped. Default 60."""
    pod: Pod = Pod()
    """How the pods look."""


class Process(ApiModel):
    """What is done with each event."""

    task: TaskName
    """The Celery task; it gets the event's JSON payload as its only argument, and its return value is the result."""
    queue: QueueName
    """The Celery queue between ingest and work."""
    max_depth: Positive | None = None
    """Stop taking events in while so many wait. Without limit when left out."""
    worker: PipelineWorker
    """Who works."""


class PipelineResults(ApiModel):
    """Where results go."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    compression: Compression = Compression.LZ4
    """None, LZ4 (the default) or ZSTD."""
    replicas: Replicas = 1
    """Pods of the results bridge. Default 1."""
    pod: Pod = Pod()
    """How the results bridge's pods look."""


class Failures(ApiModel):
    """What happens to events that cannot be processed."""

    retry: Retry = Retry()
    """Retries of a task that raises."""
    dead_letter: DeadLetterTopic | None = None
    """Where they go in the end. `<ingest topic>-<subscription>-DLQ` when left out."""


class HybridPipelineSpec(ApiModel):
    """What a HybridPipeline should be."""

    rules = loops.PIPELINE

    pulsar: PulsarConnection
    """The Pulsar side."""
    valkey: ValkeyConnection
    """The Valkey side."""
    namespaces: Namespaces = ()
    """Pulsar namespaces to make when missing."""
    topics: Topics = ()
    """Topics to make when missing, with their policies. The pipeline's own topics are made anyway."""
    ingest: Ingest
    """Events in."""
    deduplicate: Deduplicate | None = None
    """Drop events whose key was seen before. Redeliveries are dropped anyway."""
    cache: Cache | None = None
    """Keep payloads in Valkey for the tasks to read."""
    process: Process
    """The work."""
    results: PipelineResults
    """Results out."""
    failures: Failures = Failures()
    """Retries and dead letters."""
    alerts: Alerts = Alerts()
    """Alerts on backlog and failures, of every stage."""
    suspend: bool = False
    """Stop all stages; messages stay where they are. Default false."""

    @property
    def dead_letter_topic(self) -> str:
        """The effective dead-letter topic; the suffix is the Java client's (``RetryMessageUtil``)."""
        if self.failures.dead_letter:
            return self.failures.dead_letter.topic
        return f"{self.ingest.topic}-{self.ingest.subscription}-DLQ"


class HybridPipeline(Resource):
    """Pulsar in, Celery work on Valkey, Pulsar out: one event in, one result (or one dead letter) out."""

    plural: ClassVar[str] = "hybridpipelines"
    short_name: ClassVar[str] = "hpl"

    kind: Literal["HybridPipeline"] = "HybridPipeline"
    spec: HybridPipelineSpec
