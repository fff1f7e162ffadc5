"""What stands in Pulsar, as far as one resource is concerned. Values only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.pulsar.wanted import Policy

OWNER_PROPERTY = "headrace.owner"
"""Property of a topic or namespace that Headrace made: ``Kind/namespace/name`` of the resource."""
POLICIES_PROPERTY = "headrace.policies"
"""Property of a topic: JSON object, policy -> resource that set it."""


@dataclass(frozen=True)
class NamespaceFacts:
    """One Pulsar namespace."""

    exists: bool
    tenant_exists: bool = True
    deduplication: bool | None = None
    """The namespace's own setting; None when it has none."""


@dataclass(frozen=True)
class TopicFacts:
    """One topic."""

    exists: bool
    partitions: int = 0
    """0 for a topic without partitions."""
    properties: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[Policy, Any] = field(default_factory=dict)
    """The topic's own policies, as the admin API spells them; those it does not have are missing."""
    subscriptions: frozenset[str] = frozenset()

    @property
    def owner(self) -> str | None:
        """The resource that made it; None when it was not Headrace."""
        return self.properties.get(OWNER_PROPERTY)

    @property
    def policy_owners(self) -> dict[str, str]:
        """Policy -> the resource that set it. A property that somebody broke counts as empty."""
        try:
            owners = json.loads(self.properties.get(POLICIES_PROPERTY, "{}"))
        except ValueError:
            return {}
        if not isinstance(owners, dict):
            return {}
        return {policy: owner for policy, owner in owners.items() if isinstance(owner, str)}


@dataclass(frozen=True)
class PulsarFacts:
    """All that one resource wanted to know."""

    clusters: tuple[str, ...] = ()
    broker_deduplication: bool = False
    """Whether the broker deduplicates where neither topic nor namespace says."""
    namespaces: Mapping[str, NamespaceFacts] = field(default_factory=dict)
    topics: Mapping[str, TopicFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class SubscriptionNumbers:
    """How a subscription stands now, over all partitions."""

    backlog: int
    """Entries that wait; a batch of the producer counts one."""
    consumers: int
