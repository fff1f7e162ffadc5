"""The difference between what a resource wants of Pulsar and what stands there, as actions. Pure and total.

Whatever stops half-way is finished by the next pass: who owns a policy is written down before the policy is set, and
struck out after it was removed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.api.topic import InitialPosition
from headrace.pulsar.errors import (
    DeduplicationDisabledError,
    NamespaceNotFoundError,
    PartitionDecreaseError,
    PulsarError,
    SubscriptionConflictError,
    TopicConflictError,
)
from headrace.pulsar.facts import OWNER_PROPERTY, POLICIES_PROPERTY, NamespaceFacts, PulsarFacts, TopicFacts
from headrace.pulsar.wanted import Policy, Wanted, WantedTopic, namespace_of


@dataclass(frozen=True)
class CreateTenant:
    """Make a tenant that may use all clusters."""

    name: str
    clusters: tuple[str, ...]

    def __str__(self) -> str:
        return f"create tenant {self.name}"


@dataclass(frozen=True)
class CreateNamespace:
    """Make a namespace."""

    name: str
    properties: Mapping[str, str]

    def __str__(self) -> str:
        return f"create namespace {self.name}"


@dataclass(frozen=True)
class CreateTopic:
    """Make a topic."""

    name: str
    partitions: int
    properties: Mapping[str, str]

    def __str__(self) -> str:
        return f"create topic {self.name}" + (f" with {self.partitions} partitions" if self.partitions else "")


@dataclass(frozen=True)
class GrowPartitions:
    """Add partitions to a topic."""

    topic: str
    partitions: int

    def __str__(self) -> str:
        return f"grow topic {self.topic} to {self.partitions} partitions"


@dataclass(frozen=True)
class SetProperty:
    """Write down who owns which policy."""

    topic: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"set property {self.name} of topic {self.topic}"


@dataclass(frozen=True)
class SetPolicy:
    """Set a topic policy."""

    topic: str
    policy: Policy
    value: Any

    def __str__(self) -> str:
        return f"set {self.policy} of topic {self.topic} to {json.dumps(self.value)}"


@dataclass(frozen=True)
class RemovePolicy:
    """Remove a topic policy that we had set."""

    topic: str
    policy: Policy

    def __str__(self) -> str:
        return f"remove {self.policy} from topic {self.topic}"


@dataclass(frozen=True)
class CreateSubscription:
    """Make a subscription."""

    topic: str
    name: str
    position: InitialPosition
    again: bool = False
    """Whether it stood before, and somebody deleted it, or the topic."""

    def __str__(self) -> str:
        place = f"subscription {self.name} on topic {self.topic} at {self.position.lower()}"
        return f"create again {place}, for it was gone" if self.again else f"create {place}"


Action = (
    CreateTenant
    | CreateNamespace
    | CreateTopic
    | GrowPartitions
    | SetProperty
    | SetPolicy
    | RemovePolicy
    | CreateSubscription
)


@dataclass(frozen=True)
class PulsarPlan:
    """What is to be done, in order, and what cannot be done."""

    actions: tuple[Action, ...] = ()
    problems: tuple[PulsarError, ...] = ()


def plan_pulsar(
    wanted: Wanted,
    facts: PulsarFacts,
    departed: frozenset[str] = frozenset(),
    seen: frozenset[tuple[str, str]] = frozenset(),
) -> PulsarPlan:
    """Plan *wanted*, given *facts*. *departed*: owners of policies that are known to be gone. *seen*: subscriptions, by
    topic and name, that stood before: `initialPosition: Latest` counts once."""
    actions: list[Action] = list(_namespaces(wanted, facts))
    problems: list[PulsarError] = []
    unusable: set[str] = set()
    for topic in wanted.topics:
        try:
            actions += _topic(topic, wanted, facts, departed)
        except PulsarError as problem:
            problems.append(problem)
            unusable.add(topic.name)
    actions += _release(wanted, facts)
    actions += _subscriptions(wanted, facts, unusable, problems, seen)
    return PulsarPlan(tuple(actions), tuple(problems))


def _namespaces(wanted: Wanted, facts: PulsarFacts) -> Iterator[Action]:
    tenants: set[str] = set()
    for name in wanted.namespaces:
        namespace = facts.namespaces.get(name, NamespaceFacts(exists=False, tenant_exists=False))
        tenant = name.partition("/")[0]
        if not namespace.tenant_exists and tenant not in tenants:
            tenants.add(tenant)
            yield CreateTenant(tenant, facts.clusters)
        if not namespace.exists:
            yield CreateNamespace(name, {OWNER_PROPERTY: wanted.owner})


def _topic(topic: WantedTopic, wanted: Wanted, facts: PulsarFacts, departed: frozenset[str]) -> Iterator[Action]:
    namespace = facts.namespaces.get(topic.namespace, NamespaceFacts(exists=False))
    if not namespace.exists and topic.namespace not in wanted.namespaces:
        raise NamespaceNotFoundError(
            f"Pulsar namespace {topic.namespace} of topic {topic.name} does not exist:"
            " create it, or list it under spec.namespaces"
        )
    live = facts.topics.get(topic.name, TopicFacts(exists=False))
    if live.exists:
        yield from _partitions(topic, live)
    policies = _policies(topic, live, wanted.owner, departed)
    if topic.must_deduplicate and not _deduplicates(policies, live, namespace, facts):
        raise DeduplicationDisabledError(_deduplication_advice(topic, policies))
    owners = {policy: owner for policy, owner in live.policy_owners.items() if owner not in departed}
    changes, owners = _policy_changes(topic.name, policies, live, owners, wanted.owner)
    if not live.exists:
        properties = {OWNER_PROPERTY: wanted.owner}
        if owners:
            properties[POLICIES_PROPERTY] = _as_property(owners)
        yield CreateTopic(topic.name, topic.partitions or 0, properties)
        yield from changes
    else:
        yield from _with_owners(topic.name, changes, live, owners)


def _partitions(topic: WantedTopic, live: TopicFacts) -> Iterator[Action]:
    if topic.partitions is None or topic.partitions == live.partitions:
        return
    if topic.partitions < live.partitions:
        raise PartitionDecreaseError(
            f"topic {topic.name} has {live.partitions} partitions and cannot shrink to {topic.partitions}:"
            f" write partitions: {live.partitions}, or use another topic"
        )
    if live.partitions == 0:
        raise TopicConflictError(
            f"topic {topic.name} exists without partitions, and Pulsar cannot add them to it:"
            " leave partitions out, or use another topic"
        )
    yield GrowPartitions(topic.name, topic.partitions)


def _policies(topic: WantedTopic, live: TopicFacts, owner: str, departed: frozenset[str]) -> dict[Policy, Any]:
    """The policies to be in force: the declared ones, and deduplication where it is ours to say."""
    policies = dict(topic.policies)
    for policy, value in policies.items():
        other = live.policy_owners.get(policy, owner)
        if other != owner and other not in departed and live.policies.get(policy) != value:
            raise TopicConflictError(
                f"{policy} of topic {topic.name} is set by {other} to {json.dumps(live.policies.get(policy))}:"
                " declare it in one resource only"
            )
    ours = not live.exists or live.owner is not None or topic.declared
    other = live.policy_owners.get(Policy.DEDUPLICATION, owner)
    if topic.deduplicates and ours and (other == owner or other in departed):
        policies.setdefault(Policy.DEDUPLICATION, True)
    return policies


def _deduplicates(
    policies: Mapping[Policy, Any], live: TopicFacts, namespace: NamespaceFacts, facts: PulsarFacts
) -> bool:
    levels = (
        policies.get(Policy.DEDUPLICATION),
        live.policies.get(Policy.DEDUPLICATION),
        namespace.deduplication,
    )
    return next((bool(level) for level in levels if level is not None), facts.broker_deduplication)


def _deduplication_advice(topic: WantedTopic, policies: Mapping[Policy, Any]) -> str:
    if Policy.DEDUPLICATION in policies:
        return (
            f"topic {topic.name} is this bridge's sink and must deduplicate:"
            " write deduplication: true under its spec.topics entry, or leave it out"
        )
    return (
        f"topic {topic.name} exists and does not deduplicate, so a resend would be written twice:"
        " list it under spec.topics to let Headrace switch deduplication on, or do so yourself"
    )


def _policy_changes(
    topic: str, policies: Mapping[Policy, Any], live: TopicFacts, owners: dict[str, str], owner: str
) -> tuple[list[Action], dict[str, str]]:
    """The changes to policies, and who owns them afterwards."""
    changes: list[Action] = []
    owners = dict(owners)
    for policy in Policy:
        if policy in policies:
            if live.policies.get(policy) != policies[policy]:
                changes.append(SetPolicy(topic, policy, policies[policy]))
                owners[policy] = owner
        elif owners.get(policy) == owner:
            if policy in live.policies:
                changes.append(RemovePolicy(topic, policy))
            del owners[policy]
    return changes, owners


def _with_owners(topic: str, changes: list[Action], live: TopicFacts, owners: Mapping[str, str]) -> Iterator[Action]:
    """*changes* between the two writes of the owners' property: more owners before, fewer after."""
    before = {**live.policy_owners, **owners}
    if before != live.policy_owners:
        yield SetProperty(topic, POLICIES_PROPERTY, _as_property(before))
    yield from changes
    if owners != before:
        yield SetProperty(topic, POLICIES_PROPERTY, _as_property(owners))


def _release(wanted: Wanted, facts: PulsarFacts) -> Iterator[Action]:
    """Take our policies off topics that are wanted no more; the topics stay."""
    names = {topic.name for topic in wanted.topics}
    for name, live in facts.topics.items():
        if live.exists and name not in names:
            changes, owners = _policy_changes(name, {}, live, live.policy_owners, wanted.owner)
            yield from _with_owners(name, changes, live, owners)


def _subscriptions(
    wanted: Wanted,
    facts: PulsarFacts,
    unusable: set[str],
    problems: list[PulsarError],
    seen: frozenset[tuple[str, str]],
) -> Iterator[Action]:
    made = {topic.name for topic in wanted.topics}
    for subscription in wanted.subscriptions:
        live = facts.topics.get(subscription.topic, TopicFacts(exists=False))
        if subscription.topic in unusable or subscription.name in live.subscriptions:
            continue
        if not live.exists and subscription.topic not in made:
            problems.append(
                SubscriptionConflictError(
                    f"topic {subscription.topic} of subscription {subscription.name} does not exist:"
                    f" create it in namespace {namespace_of(subscription.topic)}, or list it under spec.topics"
                )
            )
            continue
        again = (subscription.topic, subscription.name) in seen
        # At the end it would pass over what waited when it went.
        position = InitialPosition.EARLIEST if again else subscription.position
        yield CreateSubscription(subscription.topic, subscription.name, position, again)


def _as_property(owners: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(owners.items())), separators=(",", ":"))
