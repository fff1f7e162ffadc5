"""Carries out planned actions. Each may be repeated: what exists already, or is gone already, is fine."""

from collections.abc import Awaitable, Callable
from typing import Any

from headrace.api.topic import InitialPosition
from headrace.pulsar.admin import PulsarAdmin, namespace_path, subscription_path, topic_path
from headrace.pulsar.errors import ConflictError, NotFoundError, SubscriptionConflictError, TopicConflictError
from headrace.pulsar.plan import (
    Action,
    CreateNamespace,
    CreateSubscription,
    CreateTenant,
    CreateTopic,
    GrowPartitions,
    RemovePolicy,
    SetPolicy,
    SetProperty,
)
from headrace.pulsar.wanted import Policy

_POSITIONS = {
    InitialPosition.EARLIEST: {"ledgerId": -1, "entryId": -1},
    InitialPosition.LATEST: {"ledgerId": 2**63 - 1, "entryId": 2**63 - 1},
}
_ENDPOINTS = {
    Policy.RETENTION: "retention",
    Policy.MESSAGE_TTL: "messageTTL",
    Policy.BACKLOG_QUOTA: "backlogQuota",
    Policy.DEDUPLICATION: "deduplicationEnabled",
}
_QUOTA_TYPE = {"backlogQuotaType": "destination_storage"}


async def perform(admin: PulsarAdmin, action: Action) -> None:
    """Carry out one action.

    Raises PulsarUnreachableError, AuthenticationFailedError, TopicConflictError or SubscriptionConflictError.
    """
    steps: dict[type, Callable[[PulsarAdmin, Any], Awaitable[Any]]] = {
        CreateTenant: _create_tenant,
        CreateNamespace: _create_namespace,
        CreateTopic: _create_topic,
        GrowPartitions: _grow,
        SetProperty: _set_property,
        SetPolicy: _set_policy,
        RemovePolicy: _remove_policy,
        CreateSubscription: _create_subscription,
    }
    kind = SubscriptionConflictError if isinstance(action, CreateSubscription) else TopicConflictError
    try:
        await steps[type(action)](admin, action)
    except (ConflictError, NotFoundError) as error:
        raise kind(f"Pulsar refused to {action}: {error}") from None


async def _create(request: Awaitable[Any]) -> None:
    """Send a create request; "exists already" is fine, the next pass looks at what exists."""
    try:
        await request
    except ConflictError as error:
        if "exist" not in str(error).lower():
            raise


async def _create_tenant(admin: PulsarAdmin, action: CreateTenant) -> None:
    body = {"adminRoles": [], "allowedClusters": list(action.clusters)}
    await _create(admin.put(f"/tenants/{action.name}", body))


async def _create_namespace(admin: PulsarAdmin, action: CreateNamespace) -> None:
    path = namespace_path(action.name)
    await _create(admin.put(path, {"properties": dict(action.properties)}))


async def _create_topic(admin: PulsarAdmin, action: CreateTopic) -> None:
    path = topic_path(action.name)
    if action.partitions:
        await _create(admin.put_partitioned(f"{path}/partitions", action.partitions, action.properties))
    else:
        await _create(admin.put(path, dict(action.properties)))


async def _grow(admin: PulsarAdmin, action: GrowPartitions) -> None:
    await admin.post(f"{topic_path(action.topic)}/partitions", action.partitions)


async def _set_property(admin: PulsarAdmin, action: SetProperty) -> None:
    await admin.put(f"{topic_path(action.topic)}/properties", {action.name: action.value})


async def _set_policy(admin: PulsarAdmin, action: SetPolicy) -> None:
    path = f"{topic_path(action.topic)}/{_ENDPOINTS[action.policy]}"
    if action.policy is Policy.MESSAGE_TTL:
        await admin.post(path, messageTTL=str(action.value))
    elif action.policy is Policy.BACKLOG_QUOTA:
        await admin.post(path, {"limitTime": -1, **action.value}, **_QUOTA_TYPE)
    else:
        await admin.post(path, action.value)


async def _remove_policy(admin: PulsarAdmin, action: RemovePolicy) -> None:
    path = f"{topic_path(action.topic)}/{_ENDPOINTS[action.policy]}"
    query = _QUOTA_TYPE if action.policy is Policy.BACKLOG_QUOTA else {}
    await admin.delete(path, **query)


async def _create_subscription(admin: PulsarAdmin, action: CreateSubscription) -> None:
    await _create(admin.put(subscription_path(action.topic, action.name), _POSITIONS[action.position]))
