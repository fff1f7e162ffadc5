"""Where a bridge's messages go."""

from __future__ import annotations

from enum import StrEnum

from headrace.api.model import ApiModel
from headrace.api.policy import Positive, Selector, ValkeyKey, at_most_one
from headrace.api.topic import TopicName
from headrace.api.valkey_worker import QueueName, TaskName


class Compression(StrEnum):
    """Compression of the published messages."""

    NONE = "None"
    LZ4 = "LZ4"
    ZSTD = "ZSTD"


class Envelope(StrEnum):
    """What surrounds a payload."""

    RAW = "Raw"
    JSON = "JSON"
    CLOUD_EVENTS = "CloudEvents"


class PulsarSink(ApiModel):
    """Messages go to a Pulsar topic."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    key: Selector | None = None
    """The message key: JMESPath on the JSON payload. Messages of a key stay in order on one partition."""
    compression: Compression = Compression.LZ4
    """None, LZ4 (the default) or ZSTD."""
    envelope: Envelope = Envelope.RAW
    """Raw (the default): the payload as it is. JSON: an object with id, source, time, key, properties and payload.
    CloudEvents: a CloudEvent 1.0 in structured mode."""


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
