"""Where a bridge's messages go."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from headrace.api.celery_runtime import QueueName, TaskName
from headrace.api.model import ApiModel, Rule
from headrace.api.policy import Batching, Positive, Selector, ValkeyKey, at_most_one
from headrace.api.topic import TopicName


class Compression(StrEnum):
    """Compression of the published messages."""

    NONE = "None"
    LZ4 = "LZ4"
    ZSTD = "ZSTD"


PropertyName = Annotated[str, Field(min_length=1, max_length=128)]


class Envelope(StrEnum):
    """What surrounds a payload."""

    RAW = "Raw"
    JSON = "JSON"
    CLOUD_EVENTS = "CloudEvents"


class Announcement(ApiModel):
    """A Valkey channel that hears of messages when Pulsar has them."""

    channel: ValkeyKey
    """The channel. Its subscribers get each payload at most once: who is not connected misses it."""


class PulsarSink(ApiModel):
    """Messages go to a Pulsar topic."""

    rules = (
        Rule(
            cel="!has(self.properties) || self.properties.all(name, "
            "!name.startsWith('HEADRACE_') && !name.startsWith('VALKEY_'))",
            message="properties that begin with HEADRACE_ or VALKEY_ are Headrace's own: choose another name",
            holds=lambda self: not any(name.startswith(("HEADRACE_", "VALKEY_")) for name in self.properties),
        ),
        Rule(
            cel="[has(self.key) ? self.key : '', has(self.eventTime) ? self.eventTime : ''].all(s, s != 'message.key')"
            " && (!has(self.properties) || self.properties.all(name, self.properties[name] != 'message.key'))",
            message="an entry of Valkey has no message.key: write JMESPath on its payload",
            holds=lambda self: "message.key" not in self.selectors,
        ),
    )

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    key: Selector | None = None
    """The message key: JMESPath on the JSON payload, or `message.properties.FIELD` of a stream with `payloadField`.
    Messages of a key stay in order on one partition. An entry without one becomes a dead letter."""
    properties: dict[PropertyName, Selector] = Field(default_factory=dict, max_length=32)
    """Properties of the message, each a selector as for `key`. Left out where the selector finds nothing."""
    event_time: Selector | None = None
    """The event time, a selector as for `key`: a number of milliseconds since 1970, or an RFC 3339 string."""
    compression: Compression = Compression.LZ4
    """None, LZ4 (the default) or ZSTD."""
    batching: Batching = Batching()
    """How much is published at once."""
    envelope: Envelope = Envelope.RAW
    """Raw (the default): the payload as it is. JSON: an object with id, source, time, key, properties and payload.
    CloudEvents: a CloudEvent 1.0 in structured mode."""
    chunking: bool = False
    """Publish a message that is larger than the broker takes in chunks, which consumers put together again, instead of
    as a dead letter. Default false."""
    announce: Announcement | None = None
    """Publish each message on a Valkey channel too, once Pulsar has it. Dead letters are not announced."""

    @property
    def selectors(self) -> list[str]:
        """All selectors."""
        return [each for each in (self.key, self.event_time, *self.properties.values()) if each is not None]


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
    envelope: Envelope = Envelope.RAW
    """Raw (the default): the payload as it is. JSON: an object with id, source, time, key, properties and payload.
    CloudEvents: a CloudEvent 1.0 in structured mode."""


class StreamSink(ApiModel):
    """Each message becomes an entry of a Valkey stream: its payload, key, id and properties are fields."""

    key: ValkeyKey
    """The stream."""
    payload_field: ValkeyKey = "payload"
    """The field that holds the payload. Default `payload`."""
    max_length: Positive | None = None
    """Remove the oldest entries, read or not, above about so many (`MAXLEN ~`). Without limit when left out."""


class HashSink(ApiModel):
    """Each payload becomes the value of a field of a Valkey hash; the last one of a field stays."""

    key: ValkeyKey
    """The hash."""
    field: Selector
    """What names the field: JMESPath on the JSON payload, or `message.key`, `message.properties.NAME`. A message with
    an empty payload removes its field."""


class PubSubSink(ApiModel):
    """Each payload is published to a Valkey channel, which keeps nothing: who is not subscribed misses it."""

    channel: ValkeyKey
    """The channel."""
    envelope: Envelope = Envelope.RAW
    """Raw (the default): the payload as it is. JSON: an object with id, source, time, key, properties and payload.
    CloudEvents: a CloudEvent 1.0 in structured mode."""


class ValkeySink(ApiModel):
    """Messages go to Valkey."""

    rules = (
        at_most_one(
            "celery",
            "list",
            "stream",
            "hash",
            "pubSub",
            needed=True,
            message="sink.valkey needs one of celery, list, stream, hash and pubSub, and only one",
        ),
    )

    celery: CelerySink | None = None
    """As Celery tasks."""
    list: ListSink | None = None
    """As entries of a list."""
    stream: StreamSink | None = None
    """As entries of a stream."""
    hash: HashSink | None = None
    """As fields of a hash."""
    pub_sub: PubSubSink | None = None
    """As publications on a channel, at most once for each subscriber."""


class Sink(ApiModel):
    """Where messages go."""

    rules = (at_most_one("valkey", "pulsar", needed=True, message="sink needs one of valkey and pulsar, and not both"),)

    pulsar: PulsarSink | None = None
    """To Pulsar."""
    valkey: ValkeySink | None = None
    """To Valkey."""
