"""Conditions and reasons: each is API, so each is listed here once.

``Ready`` always stands; ``Reconciling`` and ``Stalled`` only while true (kstatus reads them so); the others where
they apply. Every condition carries its own ``observedGeneration``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from headrace.api.model import ApiModel


class ConditionType(StrEnum):
    """What a condition speaks of."""

    READY = "Ready"
    """The spec is in force and the resource works."""
    RECONCILING = "Reconciling"
    """Work towards the spec is under way. Stands only while true."""
    STALLED = "Stalled"
    """Nothing will change before the user changes something. Stands only while true."""
    AVAILABLE = "Available"
    """Enough pods serve now, whatever generation they are of."""
    CONNECTIONS_READY = "ConnectionsReady"
    """The operator reaches the brokers with the given credentials."""
    VALKEY_SAFE = "ValkeySafe"
    """Valkey keeps what it took: append-only file on, nothing evicted, no version known to break Celery. A warning: it
    never holds Ready back."""
    MESSAGES_END = "MessagesEnd"
    """What the bridge moves does not come back to it. Stands only while false, and never holds Ready back."""
    SOURCE_EXCLUSIVE = "SourceExclusive"
    """Nobody else takes from the bridge's source. Stands only while false, and never holds Ready back."""
    WORKLOAD_READY = "WorkloadReady"
    """All pods of the current generation are up."""
    TOPICS_READY = "TopicsReady"
    """Namespaces, topics and their policies are as declared."""
    SUBSCRIPTIONS_READY = "SubscriptionsReady"
    """Subscriptions exist."""
    DESTINATION_READY = "DestinationReady"
    """The bridge's destination takes messages: no circuit breaker is open. Stands with `spec.circuitBreaker`."""
    RATE_LIMITED = "RateLimited"
    """The rate limit holds messages back. Stands with `spec.rateLimit`; never holds Ready back."""
    ALERTS_READY = "AlertsReady"
    """The PrometheusRule stands, or says why not. Never holds Ready back."""
    SUSPENDED = "Suspended"
    """`spec.suspend` is true."""
    REPLAYING = "Replaying"
    """A replay runs. False when something is wrong with the one that the spec asks for; else it does not stand."""
    INGEST_READY = "IngestReady"
    """The pipeline's first bridge is ready."""
    PROCESSING_READY = "ProcessingReady"
    """The pipeline's workers are ready."""
    RESULTS_READY = "ResultsReady"
    """The pipeline's second bridge is ready."""


class Reason(StrEnum):
    """Why a condition is as it is."""

    SUCCEEDED = "Succeeded"
    """All is as declared."""
    PROGRESSING = "Progressing"
    """On the way."""
    SUSPENDED = "Suspended"
    """`spec.suspend` is true."""
    INVALID_SPEC = "InvalidSpec"
    """The spec can't be used; the message names the field."""
    SECRET_NOT_FOUND = "SecretNotFound"
    """A Secret, or a key in it, is missing."""
    VALKEY_UNREACHABLE = "ValkeyUnreachable"
    """Valkey does not answer."""
    CLUSTER_UNSUPPORTED = "ClusterUnsupported"
    """Valkey is a Valkey Cluster, which Headrace does not support."""
    PULSAR_UNREACHABLE = "PulsarUnreachable"
    """Pulsar's admin API does not answer."""
    BROKER_UNREACHABLE = "BrokerUnreachable"
    """The broker of `celery.broker` (RabbitMQ, SQS) does not answer."""
    APPEND_ONLY_FILE_OFF = "AppendOnlyFileOff"
    """Valkey keeps no append-only file: a restart of it loses what waits."""
    EVICTION_POSSIBLE = "EvictionPossible"
    """Valkey has a memory limit and evicts keys when it comes to it."""
    MESSAGES_CIRCLE = "MessagesCircle"
    """Several bridges give messages to each other in a circle."""
    SOURCE_SHARED = "SourceShared"
    """Another bridge or worker takes from the same source."""
    VERSION_UNSUITABLE = "VersionUnsuitable"
    """This version of Valkey is known to break Celery."""
    NOT_PERMITTED = "NotPermitted"
    """The user may not ask Valkey how it is set up, or it does not say."""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """A broker refused the credentials."""
    NAMESPACE_NOT_FOUND = "NamespaceNotFound"
    """A topic lies in a Pulsar namespace that does not exist and is not declared."""
    PARTITION_DECREASE = "PartitionDecrease"
    """Pulsar topics can only grow."""
    TOPIC_CONFLICT = "TopicConflict"
    """Pulsar refused a topic, a policy or a subscription, or another resource owns it."""
    DEDUPLICATION_DISABLED = "DeduplicationDisabled"
    """The sink topic exists, does not deduplicate, and is not ours to change."""
    CIRCUIT_OPEN = "CircuitOpen"
    """The destination failed again and again, and is tried again now and then."""
    LIMIT_REACHED = "LimitReached"
    """More comes than the rate limit lets through."""
    BELOW_LIMIT = "BelowLimit"
    """The rate limit holds nothing back."""
    NAME_CONFLICT = "NameConflict"
    """An object of a child's name exists and belongs to somebody else."""
    PODS_UNAVAILABLE = "PodsUnavailable"
    """Pods are not ready (yet)."""
    PODS_FAILING = "PodsFailing"
    """Pods fail; the message says what the container said last."""
    REPLAY_REFUSED = "ReplayRefused"
    """The replay's id ran, or was begun, with other parameters."""
    REPLAY_FAILED = "ReplayFailed"
    """The replay cannot be carried out; the message says why."""
    STAGE_NOT_READY = "StageNotReady"
    """A stage of the pipeline is not ready; the message names it."""
    PROMETHEUS_OPERATOR_MISSING = "PrometheusOperatorMissing"
    """The CRD of PrometheusRule or PodMonitor is not installed."""
    DISABLED = "Disabled"
    """Switched off in the spec."""
    API_ERROR = "ApiError"
    """The Kubernetes API refused a write."""


class Status(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One condition, as `metav1.Condition`."""

    type: Annotated[str, Field(max_length=316)]
    """What it speaks of."""
    status: Status
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=32_768)]
    """Why, for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)]
    """The generation it was judged by."""


class CommonStatus(ApiModel):
    """What every status holds."""

    observed_generation: int | None = None
    """The generation this status speaks of."""
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Is it working, and if not, why."""
    last_handled_reconcile_at: str | None = None
    """Value of the annotation `headrace.dev/reconcile-requested-at` that was handled last."""


class WorkloadStatus(CommonStatus):
    """What the status of a resource with pods holds."""

    replicas: int | None = None
    """Pods that exist."""
    ready_replicas: int | None = None
    """Pods that are ready."""
    selector: str | None = None
    """Label selector of the pods, for the scale subresource."""
    backlog: int | None = None
    """How much waits at the source."""
    dead_letters: int | None = None
    """How much lies in the dead-letter topic or list."""


class QueueStatus(ApiModel):
    """One queue, or the key that another mode takes messages from."""

    name: str
    """Name of the queue or the key."""
    waiting: int
    """Tasks or messages that wait."""


class ValkeyWorkerStatus(WorkloadStatus):
    """How a ValkeyWorker is."""

    in_flight: int | None = None
    """Tasks or messages handed to workers and not yet acknowledged; in the modes other than Celery with those that wait
    for another attempt."""
    outbox: int | None = None
    """Results that wait for the bridge."""
    queues: tuple[QueueStatus, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Each queue."""


class TopicStatus(ApiModel):
    """One topic."""

    name: str
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    partitions: int
    """Partitions; 0 for a topic without."""
    ownership: Literal["Created", "Existing"]
    """Whether this resource made it."""


class SubscriptionStatus(ApiModel):
    """One subscription."""

    topic: str
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    name: str
    """Its name."""


class ReplayPhase(StrEnum):
    """Where a replay is."""

    PENDING = "Pending"
    """No pod has begun it yet."""
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"
    FAILED = "Failed"


class ReplayStatus(ApiModel):
    """How the replay of the spec's `replay.id` is."""

    id: str
    """The run."""
    phase: ReplayPhase
    """Pending, Running, Paused, Completed, Cancelled or Failed."""
    message: str | None = None
    """What holds it up, or why a message stayed where it was."""
    started: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When it began."""
    finished: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When it ended."""
    matched: int = 0
    """Messages that `match` chose; in a dry run those that would be replayed."""
    replayed: int = 0
    """Messages that were replayed."""
    skipped: int = 0
    """Messages that `match` did not choose."""
    failed: int = 0
    """Messages that could not be replayed and stay where they are."""
    resume_position: str | None = None
    """How far it is: the partition's topic, ledger, entry, and index in the batch."""


class PulsarBridgeStatus(WorkloadStatus):
    """How a PulsarBridge is."""

    direction: Literal["PulsarToValkey", "ValkeyToPulsar"] | None = None
    """Which way it moves messages."""
    in_flight: int | None = None
    """Messages taken from Valkey and not yet confirmed by Pulsar."""
    consumers: int | None = None
    """Consumers on the source's subscription."""
    replay: ReplayStatus | None = None
    """The replay that the spec asks for."""
    topics: tuple[TopicStatus, ...] = Field(
        default=(),
        max_length=80,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Each topic."""
    subscriptions: tuple[SubscriptionStatus, ...] = Field(
        default=(),
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["topic", "name"]},
    )
    """Subscriptions that stand or stood. One of them that goes is made again at the topic's beginning:
    `initialPosition: Latest` counts once."""


class StageStatus(ApiModel):
    """One stage of a pipeline."""

    name: str
    """ingest, process or results."""
    kind: str
    """Kind of the child resource."""
    resource: str
    """Name of the child resource."""
    ready: bool
    """Whether it is ready."""
    backlog: int | None = None
    """How much waits before it."""
    reason: str | None = None
    """Why it is not ready."""


class HybridPipelineStatus(CommonStatus):
    """How a HybridPipeline is."""

    backlog: int | None = None
    """How much waits in all stages together."""
    dead_letters: int | None = None
    """How much lies in the dead-letter topic."""
    bottleneck: str | None = None
    """The stage before which most waits."""
    stages: tuple[StageStatus, ...] = Field(
        default=(),
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Each stage."""
