"""``PulsarBridge``: moves messages from Valkey to Pulsar, or from Pulsar to Valkey."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from headrace.api.connection import PulsarConnection, ValkeyConnection
from headrace.api.model import ApiModel, Rule
from headrace.api.pod import Pod, replicas_field
from headrace.api.policy import Alerts, Cache, Deduplicate, Positive, Selector, ValkeyKey, at_most_one
from headrace.api.resource import Resource
from headrace.api.topic import (
    InitialPosition,
    Namespaces,
    SubscriptionName,
    Subscriptions,
    TopicName,
    Topics,
)
from headrace.api.valkey_worker import QueueName, TaskName


class ListFormat(StrEnum):
    """What an entry of a source list is."""

    RAW = "Raw"
    OUTBOX = "Outbox"


class Compression(StrEnum):
    """Compression of the published messages."""

    NONE = "None"
    LZ4 = "LZ4"
    ZSTD = "ZSTD"


class ListSource(ApiModel):
    """A Valkey list, taken from its right end (producers use LPUSH)."""

    key: ValkeyKey
    """The list."""
    format: ListFormat = ListFormat.RAW
    """Raw (the default): each entry is a payload. Outbox: entries are written by Headrace's workers."""


class StreamSource(ApiModel):
    """A Valkey stream, read by a consumer group."""

    key: ValkeyKey
    """The stream."""
    group: ValkeyKey = "headrace"
    """The consumer group, made when missing; `headrace` when left out. What other consumers of it took, and did not
    acknowledge for a minute, is taken over."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Where a new group begins: Earliest (the default) or Latest."""
    payload_field: ValkeyKey | None = None
    """The field that is the payload; the others become properties. All fields as one JSON object when left out."""
    trim: bool = False
    """Remove entries that every group of the stream has acknowledged. Default false."""


class ValkeySource(ApiModel):
    """Messages come from Valkey."""

    rules = (
        at_most_one("list", "stream", needed=True, message="source.valkey needs one of list and stream, and not both"),
    )

    list: ListSource | None = None
    """A list."""
    stream: StreamSource | None = None
    """A stream."""

    @property
    def key(self) -> str:
        """The key that entries are taken from."""
        source = self.list or self.stream
        assert source is not None
        return source.key

    @property
    def is_outbox(self) -> bool:
        """Whether Headrace's workers write it."""
        return self.list is not None and self.list.format is ListFormat.OUTBOX


class PulsarSource(ApiModel):
    """Messages come from a Pulsar topic, in order."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    subscription: SubscriptionName
    """A Failover subscription of this name, made when missing."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Where a new subscription begins: Earliest (the default) or Latest."""


class Source(ApiModel):
    """Where messages come from."""

    rules = (
        at_most_one("valkey", "pulsar", needed=True, message="source needs one of valkey and pulsar, and not both"),
    )

    valkey: ValkeySource | None = None
    """From Valkey."""
    pulsar: PulsarSource | None = None
    """From Pulsar."""


class PulsarSink(ApiModel):
    """Messages go to a Pulsar topic."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    key: Selector | None = None
    """The message key: JMESPath on the JSON payload. Messages of a key stay in order on one partition."""
    compression: Compression = Compression.LZ4
    """None, LZ4 (the default) or ZSTD."""


class CelerySink(ApiModel):
    """Each message becomes a Celery task, with the JSON payload as its only argument."""

    task: TaskName
    """Name of the task, such as `shop.tasks.price`."""
    queue: QueueName
    """The queue."""
    max_depth: Positive | None = None
    """Stop taking from Pulsar while so many tasks wait. Without limit when left out."""


class ListSink(ApiModel):
    """Each payload is pushed to a Valkey list."""

    key: ValkeyKey
    """The list; entries are added at its left end (LPUSH)."""
    max_depth: Positive | None = None
    """Stop taking from Pulsar while so many entries wait. Without limit when left out."""


class ValkeySink(ApiModel):
    """Messages go to Valkey."""

    rules = (
        at_most_one("celery", "list", needed=True, message="sink.valkey needs one of celery and list, and not both"),
    )

    celery: CelerySink | None = None
    """As Celery tasks."""
    list: ListSink | None = None
    """As entries of a list."""


class Sink(ApiModel):
    """Where messages go."""

    rules = (at_most_one("valkey", "pulsar", needed=True, message="sink needs one of valkey and pulsar, and not both"),)

    pulsar: PulsarSink | None = None
    """To Pulsar."""
    valkey: ValkeySink | None = None
    """To Valkey."""


class DeadLetterTopic(ApiModel):
    """Where messages go that cannot be moved."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""


class PulsarBridgeSpec(ApiModel):
    """What a PulsarBridge should be."""

    rules = (
        Rule(
            cel="has(self.source.valkey) != has(self.sink.valkey)",
            message="a bridge joins both sides: source.valkey goes with sink.pulsar, source.pulsar with sink.valkey",
            holds=lambda self: (self.source.valkey is None) != (self.sink.valkey is None),
        ),
        Rule(
            cel="!has(self.source.valkey) || !(has(self.deduplicate) || has(self.cache))",
            message="deduplicate and cache need source.pulsar",
            holds=lambda self: self.source.valkey is None or (self.deduplicate is None and self.cache is None),
        ),
        Rule(
            cel="!has(self.source.valkey) || !has(self.source.valkey.list) || !has(self.source.valkey.list.format)"
            " || self.source.valkey.list.format == 'Raw' || !has(self.sink.pulsar) || !has(self.sink.pulsar.key)",
            message="sink.pulsar.key does not go with format: Outbox: each entry of an outbox brings its key",
            holds=lambda self: (
                self.source.valkey is None
                or not self.source.valkey.is_outbox
                or self.sink.pulsar is None
                or self.sink.pulsar.key is None
            ),
        ),
        Rule(
            cel="!has(oldSelf.source.valkey) || has(self.source.valkey)",
            message="the direction of a bridge cannot change: make a new one",
            holds=lambda self: True,
        ),
        Rule(
            cel="!has(oldSelf.source.valkey) || !has(self.source.valkey)"
            " || has(oldSelf.source.valkey.list) == has(self.source.valkey.list)",
            message="a bridge cannot change from a list to a stream, or back: make a new one",
            holds=lambda self: True,
        ),
        Rule(
            cel="!has(oldSelf.source.pulsar) || has(self.source.pulsar)",
            message="the direction of a bridge cannot change: make a new one",
            holds=lambda self: True,
        ),
    )

    source: Source
    """Where messages come from."""
    sink: Sink
    """Where messages go: the other side."""
    valkey: ValkeyConnection
    """The Valkey side."""
    pulsar: PulsarConnection
    """The Pulsar side."""
    namespaces: Namespaces = ()
    """Pulsar namespaces to make when missing."""
    topics: Topics = ()
    """Topics to make when missing, with their policies. The topics of source, sink and deadLetter are made anyway."""
    subscriptions: Subscriptions = ()
    """More subscriptions to make when missing; the source's own is made anyway."""
    deduplicate: Deduplicate | None = None
    """Drop messages whose key was seen before. Redeliveries are dropped anyway."""
    cache: Cache | None = None
    """Keep payloads in Valkey for the tasks to read."""
    dead_letter: DeadLetterTopic | None = None
    """Where bad messages go. `<source topic>-<subscription>-DLQ` or `<sink topic>-DLQ` when left out."""
    replicas: int = replicas_field(1, "Number of pods: one works, the others stand by. Default 1.")
    alerts: Alerts = Alerts()
    """Alerts on backlog and failures."""
    pod: Pod = Pod()
    """How the pods look."""
    suspend: bool = False
    """Stop all pods; messages stay at the source. Default false."""

    @property
    def dead_letter_topic(self) -> str:
        """The effective dead-letter topic; the suffix is the Java client's (``RetryMessageUtil``)."""
        if self.dead_letter:
            return self.dead_letter.topic
        if self.source.pulsar:
            return f"{self.source.pulsar.topic}-{self.source.pulsar.subscription}-DLQ"
        assert self.sink.pulsar is not None
        return f"{self.sink.pulsar.topic}-DLQ"


class PulsarBridge(Resource):
    """Moves messages from Valkey to Pulsar, or from Pulsar to Valkey: nothing lost, nothing written twice."""

    plural: ClassVar[str] = "pulsarbridges"
    short_name: ClassVar[str] = "pbr"

    kind: Literal["PulsarBridge"] = "PulsarBridge"
    spec: PulsarBridgeSpec
