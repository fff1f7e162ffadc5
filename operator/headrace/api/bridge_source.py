"""Where a bridge's messages come from."""

from __future__ import annotations

from enum import StrEnum

from headrace.api.model import ApiModel
from headrace.api.policy import Batching, Positive, ValkeyKey, at_most_one
from headrace.api.topic import InitialPosition, SubscriptionName, TopicName


class ListFormat(StrEnum):
    """What an entry of a source list is."""

    RAW = "Raw"
    OUTBOX = "Outbox"


class ListSource(ApiModel):
    """A Valkey list, taken from its right end (producers use LPUSH)."""

    key: ValkeyKey
    """The list."""
    format: ListFormat = ListFormat.RAW
    """Raw (the default): each entry is a payload. Outbox: entries are written by Headrace's workers or by
    `headrace.bridge.hybrid_publish`."""


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
    batching: Batching = Batching()
    """How much is pushed to Valkey at once."""
    receiver_queue_size: Positive | None = None
    """Messages that the client asks the broker for in advance. Twice `batching.maxMessages` when left out."""


class Source(ApiModel):
    """Where messages come from."""

    rules = (
        at_most_one("valkey", "pulsar", needed=True, message="source needs one of valkey and pulsar, and not both"),
    )

    valkey: ValkeySource | None = None
    """From Valkey."""
    pulsar: PulsarSource | None = None
    """From Pulsar."""
