"""Reads what stands in Pulsar. Only reads."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

from headrace.api.topic import waiting_messages, whole_topics
from headrace.pulsar.admin import PulsarAdmin, namespace_path, topic_path
from headrace.pulsar.errors import AuthenticationFailedError, ConflictError, NotFoundError, PulsarUnreachableError
from headrace.pulsar.facts import NamespaceFacts, PulsarFacts, SubscriptionNumbers, TopicFacts
from headrace.pulsar.wanted import Policy, Wanted, WantedTopic, namespace_of

_AT_ONCE = 8


async def observe(admin: PulsarAdmin, wanted: Wanted, remembered: Collection[str] = ()) -> PulsarFacts:
    """What stands of *wanted*. *remembered*: topics that may still carry policies of the resource.

    Raises PulsarUnreachableError and AuthenticationFailedError.
    """
    clusters = await _clusters(admin)
    slots = asyncio.Semaphore(_AT_ONCE)
    topics = {topic.name: topic for topic in wanted.topics}
    for name in (*(each.topic for each in wanted.subscriptions), *remembered):
        topics.setdefault(name, WantedTopic(name))
    namespaces = dict.fromkeys((*wanted.namespaces, *map(namespace_of, topics)))

    async def one_namespace(name: str) -> tuple[str, NamespaceFacts]:
        async with slots:
            return name, await _namespace(admin, name)

    async def one_topic(topic: WantedTopic) -> tuple[str, TopicFacts]:
        async with slots:
            return topic.name, await _topic(admin, topic, wanted.owner)

    found = dict(await asyncio.gather(*map(one_namespace, namespaces)))
    present = [topic for topic in topics.values() if found[topic.namespace].exists]
    return PulsarFacts(
        clusters=clusters,
        broker_deduplication=await _broker_deduplication(admin, wanted.topics),
        namespaces=found,
        topics=dict(await asyncio.gather(*map(one_topic, present))),
    )


async def count(admin: PulsarAdmin, topic: str, subscription: str) -> SubscriptionNumbers | None:
    """How *subscription* stands now, summed over partitions; None when it does not exist."""
    query = {"getPreciseBacklog": "true"}
    try:
        stats = await admin.get(f"{topic_path(topic)}/partitioned-stats", perPartition="true", **query)
        parts: Iterable[dict[str, Any]] = stats.get("partitions", {}).values()
    except (NotFoundError, ConflictError):
        try:
            parts = [await admin.get(f"{topic_path(topic)}/stats", **query)]
        except (NotFoundError, ConflictError):
            return None
    found = [part["subscriptions"][subscription] for part in parts if subscription in part.get("subscriptions", {})]
    if not found:
        return None
    names = {consumer.get("consumerName") for part in found for consumer in part.get("consumers", ())}
    return SubscriptionNumbers(sum(map(waiting_messages, found)), len(names))


async def topics_of(admin: PulsarAdmin, namespace: str) -> list[str]:
    """The topics of *namespace* (``persistent://TENANT/NAMESPACE/``); a partitioned one by its own name."""
    path = topic_path(f"{namespace}x").removesuffix("/x")
    try:
        plain = await admin.get(path) or ()
        partitioned = await admin.get(f"{path}/partitioned") or ()
    except NotFoundError:
        return []
    return whole_topics(plain, partitioned)


async def _clusters(admin: PulsarAdmin) -> tuple[str, ...]:
    try:
        clusters = await admin.get("/clusters")
    except (NotFoundError, ConflictError) as error:
        raise PulsarUnreachableError(f"spec.pulsar.adminUrl does not lead to Pulsar's admin API: {error}") from None
    return tuple(clusters or ())


async def _broker_deduplication(admin: PulsarAdmin, topics: Iterable[WantedTopic]) -> bool:
    """The broker's default; False where the credentials may not read it (only superusers may)."""
    if not any(topic.must_deduplicate for topic in topics):
        return False
    try:
        settings = await admin.get("/brokers/configuration/runtime")
    except (AuthenticationFailedError, NotFoundError, ConflictError):
        return False
    return str((settings or {}).get("brokerDeduplicationEnabled", "false")).lower() == "true"


async def _namespace(admin: PulsarAdmin, name: str) -> NamespaceFacts:
    try:
        deduplication = await admin.get(f"{namespace_path(name)}/deduplication")
    except NotFoundError:
        try:
            await admin.get(f"/tenants/{name.partition('/')[0]}")
        except NotFoundError:
            return NamespaceFacts(exists=False, tenant_exists=False)
        return NamespaceFacts(exists=False)
    return NamespaceFacts(exists=True, deduplication=deduplication)


async def _topic(admin: PulsarAdmin, topic: WantedTopic, owner: str) -> TopicFacts:
    path = topic_path(topic.name)
    try:
        metadata = await admin.get(f"{path}/partitions", checkAllowAutoCreation="false")
        properties = await admin.get(f"{path}/properties") or {}
        subscriptions = await admin.get(f"{path}/subscriptions") or ()
        bare = TopicFacts(True, int(metadata["partitions"]), properties, {}, frozenset(subscriptions))
        asked = set(topic.policies) | {policy for policy in Policy if bare.policy_owners.get(policy) == owner}
        if topic.deduplicates:
            asked.add(Policy.DEDUPLICATION)
        policies = {policy: await _policy(admin, path, policy) for policy in sorted(asked)}
    except NotFoundError:
        return TopicFacts(exists=False)
    held = {policy: value for policy, value in policies.items() if value is not None}
    return TopicFacts(True, bare.partitions, properties, held, bare.subscriptions)


async def _policy(admin: PulsarAdmin, path: str, policy: Policy) -> Any:
    """The topic's own value, as :func:`headrace.pulsar.wanted.encode` spells it; None when it has none."""
    if policy is Policy.RETENTION:
        value = await admin.get(f"{path}/retention")
        return value and {name: value.get(name) for name in ("retentionTimeInMinutes", "retentionSizeInMB")}
    if policy is Policy.BACKLOG_QUOTA:
        quota = (await admin.get(f"{path}/backlogQuotaMap") or {}).get("destination_storage")
        return quota and {name: quota.get(name) for name in ("limitSize", "policy")}
    endpoint = "messageTTL" if policy is Policy.MESSAGE_TTL else "deduplicationEnabled"
    return await admin.get(f"{path}/{endpoint}")
