"""``PulsarBridge``: moves messages from Valkey to Pulsar, or from Pulsar to Valkey."""

from __future__ import annotations

from typing import ClassVar, Literal

from headrace.api import loops
from headrace.api.bridge_sink import Sink
from headrace.api.bridge_source import Source
from headrace.api.connection import PulsarConnection, ValkeyConnection
from headrace.api.delivery import Delivery, Durability
from headrace.api.model import ApiModel, Rule
from headrace.api.pod import Pod, replicas_field
from headrace.api.policy import PROPERTIES, Alerts, Cache, CircuitBreaker, Deduplicate, RateLimit
from headrace.api.replay import Replay, ReplayOrigin
from headrace.api.resource import Resource
from headrace.api.retry_letters import RetryLetters
from headrace.api.topic import Namespaces, Subscriptions, TopicName, Topics, base_topic

DEAD_LETTER_SUBSCRIPTION = "headrace-dead-letters"
"""Keeps dead letters, whatever the namespace's retention says, and makes them countable."""


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
            " || self.source.valkey.list.format == 'Raw' || !has(self.sink.pulsar)"
            " || !(has(self.sink.pulsar.key) || has(self.sink.pulsar.properties) || has(self.sink.pulsar.eventTime))",
            message="sink.pulsar.key, properties and eventTime do not go with format: Outbox:"
            " each entry of an outbox brings its own",
            holds=lambda self: (
                self.source.valkey is None
                or not self.source.valkey.is_outbox
                or self.sink.pulsar is None
                or not self.sink.pulsar.selectors
            ),
        ),
        Rule(
            cel="!has(self.sink.pulsar) || !has(self.source.valkey)"
            " || has(self.source.valkey.pubSub)"
            " || (has(self.source.valkey.stream) && has(self.source.valkey.stream.payloadField))"
            " || ([has(self.sink.pulsar.key) ? self.sink.pulsar.key : '',"
            " has(self.sink.pulsar.eventTime) ? self.sink.pulsar.eventTime : '']"
            ".all(s, !s.startsWith('message.properties.'))"
            " && (!has(self.sink.pulsar.properties) || self.sink.pulsar.properties.all(name,"
            " !self.sink.pulsar.properties[name].startsWith('message.properties.'))))",
            message="message.properties.FIELD needs a stream with payloadField, whose other fields are the properties,"
            " or pubSub, with the property VALKEY_CHANNEL",
            holds=lambda self: (
                self.source.valkey is None
                or self.sink.pulsar is None
                or self.source.valkey.pub_sub is not None
                or bool(self.source.valkey.stream and self.source.valkey.stream.payload_field)
                or not any(each.startswith(PROPERTIES) for each in self.sink.pulsar.selectors)
            ),
        ),
        Rule(
            cel="!has(self.sink.pulsar) || !has(self.sink.pulsar.announce) || !has(self.source.valkey)"
            " || !has(self.source.valkey.pubSub)",
            message="announce does not go with source.valkey.pubSub: its subscribers have the message already",
            holds=lambda self: (
                self.sink.pulsar is None
                or self.sink.pulsar.announce is None
                or self.source.valkey is None
                or self.source.valkey.pub_sub is None
            ),
        ),
        Rule(
            cel="!has(self.source.pulsar) || !has(self.source.pulsar.topicsPattern) || has(self.deadLetter)",
            message="with source.pulsar.topicsPattern, deadLetter.topic must name the topic for dead letters",
            holds=lambda self: (
                self.source.pulsar is None or self.source.pulsar.topics_pattern is None or self.dead_letter is not None
            ),
        ),
        Rule(
            cel="!has(self.retry) || has(self.cache)",
            message="retry needs cache: nothing else is refused by Valkey for one message alone;"
            " a HybridPipeline retries tasks by failures.retry",
            holds=lambda self: self.retry is None or self.cache is not None,
        ),
        Rule(
            cel="!has(self.retry) || has(self.retry.topic) || !has(self.source.pulsar)"
            " || !has(self.source.pulsar.topicsPattern)",
            message="with source.pulsar.topicsPattern, retry.topic must name the topic for retry letters",
            holds=lambda self: (
                self.retry is None
                or self.retry.topic is not None
                or self.source.pulsar is None
                or self.source.pulsar.topics_pattern is None
            ),
        ),
        *loops.BRIDGE,
        Rule(
            cel="!has(self.replay) || self.replay.from == 'DeadLetter' || has(self.source.pulsar)",
            message="a bridge from Valkey replays from: DeadLetter alone: what it moved stands in Valkey no more",
            holds=lambda self: (
                self.replay is None or self.replay.origin is ReplayOrigin.DEAD_LETTER or self.source.pulsar is not None
            ),
        ),
        Rule(
            cel="!has(self.replay) || self.replay.from != 'MessageId' || !has(self.source.pulsar)"
            " || has(self.source.pulsar.topic)",
            message="from: MessageId needs source.pulsar.topic: of several topics it would not be known which one",
            holds=lambda self: (
                self.replay is None
                or self.replay.origin is not ReplayOrigin.MESSAGE_ID
                or self.source.pulsar is None
                or self.source.pulsar.topic is not None
            ),
        ),
        Rule(
            cel="!has(oldSelf.source.valkey) || has(self.source.valkey)",
            message="the direction of a bridge cannot change: make a new one",
            holds=lambda self: True,
        ),
        Rule(
            cel="!has(oldSelf.source.valkey) || !has(self.source.valkey)"
            " || (has(oldSelf.source.valkey.list) == has(self.source.valkey.list)"
            " && has(oldSelf.source.valkey.stream) == has(self.source.valkey.stream))",
            message="a bridge cannot change between list, stream and pubSub: make a new one",
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
    delivery: Delivery | None = None
    """How surely messages arrive. Effectively once when left out."""
    deduplicate: Deduplicate | None = None
    """Drop messages whose key was seen before. Redeliveries are dropped anyway."""
    cache: Cache | None = None
    """Keep payloads in Valkey for the tasks to read."""
    dead_letter: DeadLetterTopic | None = None
    """Where bad messages go. `<source topic>-<subscription>-DLQ` or `<sink topic>-DLQ` when left out; of several
    source topics the first counts. Needed with topicsPattern."""
    retry: RetryLetters | None = None
    """Try again what Valkey refuses for one message alone, such as a cache key that holds another type. It becomes a
    dead letter at once when left out."""
    replay: Replay | None = None
    """Move messages once more."""
    rate_limit: RateLimit | None = None
    """A limit on the speed. Without limit when left out."""
    circuit_breaker: CircuitBreaker | None = None
    """Leaves a destination that fails alone for a while. When left out it is tried again after 5 s at most."""
    replicas: int = replicas_field(
        1,
        "Number of pods: one works, the others stand by; shards of a Valkey source and partitions of a Pulsar source"
        " they share. Default 1.",
    )
    alerts: Alerts = Alerts()
    """Alerts on backlog and failures."""
    pod: Pod = Pod()
    """How the pods look."""
    suspend: bool = False
    """Stop all pods; messages stay at the source. Default false."""

    @property
    def pulsar_topic(self) -> str | None:
        """The topic of the Pulsar side; None when there are several."""
        if self.sink.pulsar:
            return self.sink.pulsar.topic
        assert self.source.pulsar is not None
        return self.source.pulsar.names[0] if len(self.source.pulsar.names) == 1 else None

    @property
    def effective_delivery(self) -> Delivery:
        """`delivery`, with a durability."""
        given = self.delivery or Delivery()
        durability = given.durability or (Durability.FSYNC if self.source.pulsar else Durability.MEMORY)
        return given.model_copy(update={"durability": durability})

    @property
    def dead_letter_topic(self) -> str:
        """The effective dead-letter topic; the suffix is the Java client's (``RetryMessageUtil``)."""
        if self.dead_letter:
            return self.dead_letter.topic
        if self.source.pulsar:
            return f"{self.source.pulsar.names[0]}-{self.source.pulsar.subscription}-DLQ"
        assert self.sink.pulsar is not None
        return f"{self.sink.pulsar.topic}-DLQ"

    @property
    def retry_topic(self) -> str | None:
        """The effective topic of retry letters, if there are any; the suffix is the Java client's."""
        if self.retry is None or self.source.pulsar is None:
            return None
        return self.retry.topic or f"{self.source.pulsar.names[0]}-{self.source.pulsar.subscription}-RETRY"

    def consumes(self, topic: str) -> bool:
        """Whether *topic* is a source; the bridge's own letters never are, whatever the pattern says."""
        source = self.source.pulsar
        letters = {base_topic(each) for each in (self.dead_letter_topic, self.retry_topic) if each is not None}
        if source is None or base_topic(topic) in letters:
            return False
        return topic in source.names if source.names else source.matches(topic)


class PulsarBridge(Resource):
    """Moves messages from Valkey to Pulsar, or from Pulsar to Valkey: nothing lost, nothing written twice."""

    plural: ClassVar[str] = "pulsarbridges"
    short_name: ClassVar[str] = "pbr"

    kind: Literal["PulsarBridge"] = "PulsarBridge"
    spec: PulsarBridgeSpec
