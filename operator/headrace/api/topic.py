"""What a resource declares of Pulsar: namespaces, topics, policies, subscriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from headrace.api.model import ApiModel, Rule

_PARTITION = re.compile(r"-partition-\d+$")
_PART = "[A-Za-z0-9_=:.-]+"
TOPIC_NAME = f"^persistent://{_PART}/{_PART}/[^/ ]+$"
NAMESPACE_NAME = f"^{_PART}/{_PART}$"
TOPICS_PATTERN = f"^persistent://{_PART}/{_PART}/[^/]+$"

TOPIC_MESSAGE = "a topic must read persistent://TENANT/NAMESPACE/TOPIC, such as persistent://shop/orders/events"
PATTERN_MESSAGE = (
    "topicsPattern must read persistent://TENANT/NAMESPACE/REGEX with a regular expression in RE2 syntax"
    " for the last part alone, such as persistent://shop/orders/eu-.*"
)
NAMESPACE_MESSAGE = "a Pulsar namespace must read TENANT/NAMESPACE, such as shop/orders"


def _topic(name: str) -> str:
    if not re.match(TOPIC_NAME, name):
        raise ValueError(TOPIC_MESSAGE)
    return name


def _pattern(pattern: str) -> str:
    if not re.match(TOPICS_PATTERN, pattern):
        raise ValueError(PATTERN_MESSAGE)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{PATTERN_MESSAGE}: {error}") from None
    return pattern


def _namespace(name: str) -> str:
    if not re.match(NAMESPACE_NAME, name):
        raise ValueError(NAMESPACE_MESSAGE)
    return name


def _cel(*expressions: str, message: str) -> dict[str, object]:
    return {"x-kubernetes-validations": [{"rule": expression, "message": message} for expression in expressions]}


TopicName = Annotated[
    str,
    Field(max_length=512, json_schema_extra=_cel(f"self.matches('{TOPIC_NAME}')", message=TOPIC_MESSAGE)),
    AfterValidator(_topic),
]
TopicsPattern = Annotated[
    str,
    Field(
        max_length=512,
        # the second one fails in the API server's own words when the expression does not compile
        json_schema_extra=_cel(
            f"self.matches('{TOPICS_PATTERN}')", "'a'.matches(self) in [true, false]", message=PATTERN_MESSAGE
        ),
    ),
    AfterValidator(_pattern),
]
PulsarNamespaceName = Annotated[
    str,
    Field(max_length=256, json_schema_extra=_cel(f"self.matches('{NAMESPACE_NAME}')", message=NAMESPACE_MESSAGE)),
    AfterValidator(_namespace),
]
SubscriptionName = Annotated[str, Field(min_length=1, max_length=128, pattern="^[^/ ]+$")]


class InitialPosition(StrEnum):
    """Where a new subscription begins."""

    EARLIEST = "Earliest"
    LATEST = "Latest"


class QuotaPolicy(StrEnum):
    """What the broker does with producers at the quota. Eviction is left out on purpose: it loses messages."""

    PRODUCER_REQUEST_HOLD = "ProducerRequestHold"
    PRODUCER_EXCEPTION = "ProducerException"


class Retention(ApiModel):
    """How long acknowledged messages are kept; both limits must be passed before Pulsar deletes."""

    rules = (
        Rule(
            cel="self.timeSeconds == -1 || self.timeSeconds % 60 == 0",
            message="timeSeconds must be -1 (without end) or whole minutes, such as 3600: Pulsar counts in minutes",
            holds=lambda self: self.time_seconds == -1 or self.time_seconds % 60 == 0,
        ),
    )

    time_seconds: Annotated[int, Field(ge=-1, le=2_147_483_640)]
    """Whole minutes, in seconds; -1 without end."""
    size_megabytes: Annotated[int, Field(ge=-1, le=2_147_483_647)] = -1
    """-1 (the default) without limit."""


class BacklogQuota(ApiModel):
    """How much may wait for slow subscriptions."""

    limit_bytes: Annotated[int, Field(ge=1)]
    """Bytes of backlog."""
    policy: QuotaPolicy = QuotaPolicy.PRODUCER_REQUEST_HOLD
    """Default ProducerRequestHold."""


class TopicPolicies(ApiModel):
    """Policies that Headrace sets on a topic. One that is left out is never touched; one that is unset again goes."""

    retention: Retention | None = None
    """How long acknowledged messages are kept."""
    message_ttl_seconds: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """Unacknowledged messages older than this are skipped by the broker."""
    backlog_quota: BacklogQuota | None = None
    """How much may wait."""
    deduplication: bool | None = None
    """Whether the broker drops what a producer sends again."""


class Topic(ApiModel):
    """A topic, made when missing. It is retained when the resource is deleted."""

    name: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    partitions: Annotated[int, Field(ge=0, le=1024)] = 0
    """0 (the default) for a topic without partitions. It can grow later, never shrink."""
    policies: TopicPolicies = TopicPolicies()
    """Policies on the topic."""


class PulsarNamespace(ApiModel):
    """A Pulsar namespace, made when missing, together with its tenant. It is retained on deletion."""

    name: PulsarNamespaceName
    """`TENANT/NAMESPACE`."""


class Subscription(ApiModel):
    """A subscription that exists before its first consumer does, so that nothing published meanwhile is missed."""

    topic: TopicName
    """`persistent://TENANT/NAMESPACE/TOPIC`."""
    name: SubscriptionName
    """Name of the subscription."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Earliest (the default) or Latest."""


Namespaces = Annotated[
    tuple[PulsarNamespace, ...],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
Topics = Annotated[
    tuple[Topic, ...],
    Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
Subscriptions = Annotated[
    tuple[Subscription, ...],
    Field(
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["topic", "name"]},
    ),
]


def layouts(listed: Iterable[str], partitioned: Iterable[str]) -> dict[str, int]:
    """The names of a namespace's topics, sorted, and how many partitions each has, 0 where it has none; *listed* names
    the partitions of *partitioned* topics one by one."""
    names = list(listed)
    found = dict.fromkeys(partitioned, 0)
    for name in names:
        whole = base_topic(name)
        if whole != name and whole in found:
            found[whole] += 1
    # a partition is listed once it was used
    found = {name: max(number, 1) for name, number in found.items()}
    return dict(sorted(({name: 0 for name in names if base_topic(name) not in found} | found).items()))


def whole_topics(listed: Iterable[str], partitioned: Iterable[str]) -> list[str]:
    """The names alone."""
    return list(layouts(listed, partitioned))


def waiting_messages(subscription: Mapping[str, Any]) -> int:
    """Messages behind a subscription, of its part in the admin API's stats of one topic without partitions.

    The broker counts entries, and a producer's batch is one; it knows how many messages its consumers found in one on
    average. Without a consumer an entry counts as a message.
    """
    per_entry = max((each.get("avgMessagesPerEntry", 0) for each in subscription.get("consumers", ())), default=0)
    return int(subscription.get("msgBacklog", 0)) * max(int(per_entry), 1)


@lru_cache(maxsize=4096)
def base_topic(name: str) -> str:
    """*name* without ``-partition-N``, as Java's clients say it in ``REAL_TOPIC``."""
    return _PARTITION.sub("", name)
