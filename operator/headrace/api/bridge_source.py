"""Where a bridge's messages come from."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from headrace.api.model import ApiModel, Rule
from headrace.api.policy import Batching, Positive, ValkeyKey, at_most_one
from headrace.api.topic import InitialPosition, SubscriptionName, TopicName, TopicsPattern


class ListFormat(StrEnum):
    """What an entry of a source list is."""

    RAW = "Raw"
    OUTBOX = "Outbox"


Shards = Annotated[int, Field(ge=1, le=64)]

_NO_FEWER_SHARDS = Rule(
    cel="!has(oldSelf.shards) || (has(self.shards) ? self.shards : 1) >= oldSelf.shards",
    message="shards cannot become fewer, for their entries would be left behind: make a new bridge",
    holds=lambda self: True,
)


class ListSource(ApiModel):
    """A Valkey list, taken from its right end (producers use LPUSH)."""

    rules = (
        Rule(
            cel="!has(self.shards) || self.shards == 1 || !has(self.format) || self.format == 'Raw'",
            message="shards does not go with format: Outbox, which is one list",
            holds=lambda self: self.shards == 1 or self.format is ListFormat.RAW,
        ),
        _NO_FEWER_SHARDS,
    )

    key: ValkeyKey
    """The list."""
    format: ListFormat = ListFormat.RAW
    """Raw (the default): each entry is a payload. Outbox: entries are written by Headrace's workers or by
    `headrace.bridge.hybrid_publish`."""
    shards: Shards = 1
    """1 (the default): the list is one line. More: producers choose one of the lists `KEY:0`, `KEY:1`, … by the hash of
    their own key (`headrace.bridge.shard_key`); order is kept in each, and replicas share them. The list `KEY` is moved
    too. The number can grow, never shrink."""


class StreamSource(ApiModel):
    """A Valkey stream, read by a consumer group."""

    rules = (_NO_FEWER_SHARDS,)

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
    shards: Shards = 1
    """1 (the default): the stream is one line. More: producers choose one of the streams `KEY:0`, `KEY:1`, …, as with
    a list."""


Channels = Annotated[tuple[ValkeyKey, ...], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"})]


class PubSubSource(ApiModel):
    """Valkey channels. Pub/sub keeps nothing: what is published while no pod is subscribed is lost."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(has(self.channels) && size(self.channels) > 0) || (has(self.patterns) && size(self.patterns) > 0)",
            message="pubSub needs at least one of channels and patterns",
            holds=lambda self: bool(self.channels or self.patterns),
        ),
    )

    channels: Channels = ()
    """Channels by name (SUBSCRIBE)."""
    patterns: Channels = ()
    """Channels by pattern (PSUBSCRIBE), such as `orders.*`. A message that several fit is taken once."""
    buffer_messages: Positive = 1_000_000
    """While Pulsar is away so many messages wait in Valkey; the newest are dropped, and counted, when there are more.
    Default 1000000."""
    buffer_bytes: Annotated[int, Field(ge=1)] = 256 * 1024 * 1024
    """The same as memory of Valkey. Default 268435456, 256 MiB."""


class ValkeySource(ApiModel):
    """Messages come from Valkey."""

    rules = (
        at_most_one(
            "list", "stream", "pubSub", needed=True, message="source.valkey needs one of list, stream and pubSub"
        ),
    )

    list: ListSource | None = None
    """A list."""
    stream: StreamSource | None = None
    """A stream."""
    pub_sub: PubSubSource | None = None
    """Channels."""

    @property
    def shards(self) -> int:
        """How many shards it has; 0 when it is not sharded."""
        source = self.list or self.stream
        return source.shards if source is not None and source.shards > 1 else 0

    def shard(self, number: int) -> ValkeySource:
        """One shard as a source of its own."""
        if self.list is not None:
            return ValkeySource(list=self.list.model_copy(update={"key": f"{self.list.key}:{number}", "shards": 1}))
        assert self.stream is not None
        return ValkeySource(stream=self.stream.model_copy(update={"key": f"{self.stream.key}:{number}", "shards": 1}))

    @property
    def is_outbox(self) -> bool:
        """Whether Headrace's workers write it."""
        return self.list is not None and self.list.format is ListFormat.OUTBOX


class SubscriptionType(StrEnum):
    """How a subscription's messages are spread over its consumers."""

    FAILOVER = "Failover"
    SHARED = "Shared"
    KEY_SHARED = "KeyShared"


class PulsarSource(ApiModel):
    """Messages come from Pulsar topics."""

    rules = (
        at_most_one(
            "topic",
            "topics",
            "topicsPattern",
            needed=True,
            message="source.pulsar needs one of topic, topics and topicsPattern, and only one",
        ),
        Rule(
            cel="!has(oldSelf.subscriptionType) || oldSelf.subscriptionType == 'Failover'"
            " || (has(self.subscriptionType) && self.subscriptionType != 'Failover')",
            message="subscriptionType cannot change back to Failover: make a new bridge with a new subscription",
            holds=lambda self: True,
        ),
    )

    topic: TopicName | None = None
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    topics: (
        Annotated[
            tuple[TopicName, ...],
            Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Several topics, read side by side."""
    topics_pattern: TopicsPattern | None = None
    """All topics of a namespace whose name the regular expression matches as a whole, such as
    `persistent://shop/orders/eu-.*`. They are not made by us; one that appears later is found and read whole."""
    subscription: SubscriptionName
    """The subscription on each topic, made when missing."""
    subscription_type: SubscriptionType = SubscriptionType.FAILOVER
    """Failover (the default): the messages of a partition in order, a partition by one replica at a time. Shared: all
    replicas work on every partition, in no order. KeyShared: so too, and the messages of a key in order."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Where a new subscription begins: Earliest (the default) or Latest."""
    batching: Batching = Batching()
    """How much is pushed to Valkey at once."""
    receiver_queue_size: Positive | None = None
    """Messages at most that the client asks the broker for in advance, for each partition; fewer where they are large.
    Twice `batching.maxMessages` when left out."""

    @property
    def names(self) -> tuple[str, ...]:
        """The topics by name; none of a pattern."""
        return (self.topic,) if self.topic else self.topics or ()

    @property
    def namespace(self) -> str:
        """Of a pattern: the namespace it looks into, ``persistent://TENANT/NAMESPACE/``."""
        assert self.topics_pattern is not None
        return self.topics_pattern[: self.topics_pattern.rindex("/") + 1]

    @property
    def expression(self) -> str:
        """Of a pattern: the regular expression for the last part of a topic's name."""
        assert self.topics_pattern is not None
        return self.topics_pattern[self.topics_pattern.rindex("/") + 1 :]

    def matches(self, topic: str) -> bool:
        """Whether *topic* is one of those that the pattern means. Pulsar's own topics (``__…``) never are."""
        local = topic.removeprefix(self.namespace)
        return local != topic and not local.startswith("__") and bool(re.fullmatch(self.expression, local))


class Source(ApiModel):
    """Where messages come from."""

    rules = (
        at_most_one("valkey", "pulsar", needed=True, message="source needs one of valkey and pulsar, and not both"),
    )

    valkey: ValkeySource | None = None
    """From Valkey."""
    pulsar: PulsarSource | None = None
    """From Pulsar."""
