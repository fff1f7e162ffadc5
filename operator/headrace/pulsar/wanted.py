"""What a PulsarBridge wants of Pulsar. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.api.delivery import Guarantee
from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge
from headrace.api.topic import InitialPosition, QuotaPolicy, TopicPolicies


class Policy(StrEnum):
    """The topic policies Headrace can set; the names stand in the property ``headrace.policies``."""

    RETENTION = "retention"
    MESSAGE_TTL = "messageTtl"
    BACKLOG_QUOTA = "backlogQuota"
    DEDUPLICATION = "deduplication"


@dataclass(frozen=True)
class WantedTopic:
    """One topic that must exist."""

    name: str
    partitions: int | None = None
    """None: as it is, and without partitions when it has to be made."""
    policies: Mapping[Policy, Any] = field(default_factory=dict)
    """Declared policies, as the admin API spells them."""
    declared: bool = False
    """Whether the user listed the topic, and so gave it into our hands."""
    deduplicates: bool = False
    """Whether we want it to deduplicate where it is ours to say: it is a sink or a dead-letter topic."""
    must_deduplicate: bool = False
    """Whether the bridge may not start before it does."""

    @property
    def namespace(self) -> str:
        """``TENANT/NAMESPACE``."""
        return namespace_of(self.name)


@dataclass(frozen=True)
class WantedSubscription:
    """One subscription that must exist."""

    topic: str
    name: str
    position: InitialPosition


@dataclass(frozen=True)
class Wanted:
    """All that one resource wants."""

    owner: str
    """``Kind/namespace/name`` of the resource."""
    namespaces: tuple[str, ...]
    topics: tuple[WantedTopic, ...]
    subscriptions: tuple[WantedSubscription, ...]


def namespace_of(topic: str) -> str:
    """``TENANT/NAMESPACE`` of a full topic name."""
    tenant, namespace = topic.removeprefix("persistent://").split("/", 2)[:2]
    return f"{tenant}/{namespace}"


def wanted(bridge: PulsarBridge) -> Wanted:
    """The namespaces, topics and subscriptions that *bridge* needs."""
    spec = bridge.spec
    sink = spec.sink.pulsar.topic if spec.sink.pulsar else None
    sources = spec.source.pulsar.names if spec.source.pulsar else ()
    once = spec.effective_delivery.guarantee is Guarantee.EFFECTIVELY_ONCE
    declared = {topic.name: topic for topic in spec.topics}
    letters = (spec.retry_topic, spec.dead_letter_topic)
    names = dict.fromkeys(name for name in (*declared, *sources, sink, *letters) if name)
    topics = []
    for name in names:
        topic = declared.get(name)
        topics.append(
            WantedTopic(
                name=name,
                partitions=topic.partitions if topic and "partitions" in topic.model_fields_set else None,
                policies=encode(topic.policies) if topic else {},
                declared=topic is not None,
                deduplicates=name in (sink, *letters),
                must_deduplicate=name == sink and once,
            )
        )
    subscriptions = {
        (each.topic, each.name): WantedSubscription(each.topic, each.name, each.initial_position)
        for each in spec.subscriptions
    }
    if spec.source.pulsar:
        own = spec.source.pulsar
        for name in sources:
            subscriptions[name, own.subscription] = WantedSubscription(name, own.subscription, own.initial_position)
        if retry := spec.retry_topic:
            subscriptions[retry, own.subscription] = WantedSubscription(
                retry, own.subscription, InitialPosition.EARLIEST
            )
    keeper = (spec.dead_letter_topic, DEAD_LETTER_SUBSCRIPTION)
    subscriptions.setdefault(keeper, WantedSubscription(*keeper, InitialPosition.EARLIEST))
    return Wanted(
        owner=bridge.identity,
        namespaces=tuple(namespace.name for namespace in spec.namespaces),
        topics=tuple(topics),
        subscriptions=tuple(subscriptions.values()),
    )


_QUOTA_POLICIES = {
    QuotaPolicy.PRODUCER_REQUEST_HOLD: "producer_request_hold",
    QuotaPolicy.PRODUCER_EXCEPTION: "producer_exception",
}


def encode(policies: TopicPolicies) -> dict[Policy, Any]:
    """The policies that are set, as the admin API spells them."""
    encoded: dict[Policy, Any] = {}
    if policies.retention:
        seconds = policies.retention.time_seconds
        encoded[Policy.RETENTION] = {
            "retentionTimeInMinutes": seconds // 60 if seconds > 0 else seconds,
            "retentionSizeInMB": policies.retention.size_megabytes,
        }
    if policies.message_ttl_seconds is not None:
        encoded[Policy.MESSAGE_TTL] = policies.message_ttl_seconds
    if policies.backlog_quota:
        encoded[Policy.BACKLOG_QUOTA] = {
            "limitSize": policies.backlog_quota.limit_bytes,
            "policy": _QUOTA_POLICIES[policies.backlog_quota.policy],
        }
    if policies.deduplication is not None:
        encoded[Policy.DEDUPLICATION] = policies.deduplication
    return encoded
