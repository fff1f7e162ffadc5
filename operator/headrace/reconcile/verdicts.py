"""Typed errors, and what each means. The type alone decides condition, reason, log level and the next attempt."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.api.resource import InvalidResourceError
from headrace.api.status import ConditionType, Reason
from headrace.pulsar import errors as pulsar


class ValkeyUnreachableError(Exception):
    """Valkey does not answer."""


class ValkeyAuthenticationFailedError(Exception):
    """Valkey refused the credentials, or they may not read what the operator counts."""


class ClusterUnsupportedError(Exception):
    """Valkey is a node of a Valkey Cluster."""


class BrokerUnreachableError(Exception):
    """The broker that is not Valkey does not answer."""


class BrokerAuthenticationFailedError(Exception):
    """The broker that is not Valkey refused the credentials, or they may not use what the worker needs."""


class SecretNotFoundError(Exception):
    """A Secret that the resource refers to, or a key in it, is missing."""


class NameConflictError(Exception):
    """An object of a child's name exists and is not ours."""


class PredecessorLeavingError(Exception):
    """A child of a deleted resource of the same name is still there; the garbage collector is about to remove it."""


class KubernetesRefusedError(Exception):
    """The API server refused a write for good: invalid, forbidden."""


class KubernetesInvalidError(KubernetesRefusedError):
    """The API server finds the object invalid (422)."""


class KubernetesUnavailableError(Exception):
    """The API server does not answer, or asks to come again."""


class OutdatedError(Exception):
    """The object changed since it was read; read again."""


class LeadershipLostError(Exception):
    """Another operator may lead by now: nothing may be written any more."""


@dataclass(frozen=True)
class Verdict:
    """What an error means for the resource."""

    condition: ConditionType
    """The condition that turns False."""
    reason: Reason
    """Its reason, and Ready's."""
    stalled: bool = False
    """Whether nothing will change before the user changes something."""
    progressing: bool = False
    """Whether it passes by itself, soon."""
    retry: bool = True
    """Try again with backoff; otherwise a watch event or the periodic pass does."""
    level: int = logging.WARNING
    """Log level."""


_TOPICS = ConditionType.TOPICS_READY
_CONNECTIONS = ConditionType.CONNECTIONS_READY
_WORKLOAD = ConditionType.WORKLOAD_READY

VERDICTS: Mapping[type[Exception], Verdict] = {
    InvalidResourceError: Verdict(ConditionType.READY, Reason.INVALID_SPEC, stalled=True, retry=False),
    SecretNotFoundError: Verdict(_CONNECTIONS, Reason.SECRET_NOT_FOUND, retry=False),
    ValkeyUnreachableError: Verdict(_CONNECTIONS, Reason.VALKEY_UNREACHABLE),
    ValkeyAuthenticationFailedError: Verdict(_CONNECTIONS, Reason.AUTHENTICATION_FAILED),
    ClusterUnsupportedError: Verdict(_CONNECTIONS, Reason.CLUSTER_UNSUPPORTED, stalled=True),
    BrokerUnreachableError: Verdict(_CONNECTIONS, Reason.BROKER_UNREACHABLE),
    BrokerAuthenticationFailedError: Verdict(_CONNECTIONS, Reason.AUTHENTICATION_FAILED),
    pulsar.PulsarUnreachableError: Verdict(_CONNECTIONS, Reason.PULSAR_UNREACHABLE),
    pulsar.AuthenticationFailedError: Verdict(_CONNECTIONS, Reason.AUTHENTICATION_FAILED),
    pulsar.NamespaceNotFoundError: Verdict(_TOPICS, Reason.NAMESPACE_NOT_FOUND),
    pulsar.PartitionDecreaseError: Verdict(_TOPICS, Reason.PARTITION_DECREASE, stalled=True),
    pulsar.DeduplicationDisabledError: Verdict(_TOPICS, Reason.DEDUPLICATION_DISABLED, stalled=True),
    pulsar.TopicConflictError: Verdict(_TOPICS, Reason.TOPIC_CONFLICT),
    pulsar.SubscriptionConflictError: Verdict(ConditionType.SUBSCRIPTIONS_READY, Reason.TOPIC_CONFLICT),
    NameConflictError: Verdict(_WORKLOAD, Reason.NAME_CONFLICT, stalled=True),
    PredecessorLeavingError: Verdict(_WORKLOAD, Reason.PROGRESSING, progressing=True, level=logging.INFO),
    KubernetesRefusedError: Verdict(_WORKLOAD, Reason.API_ERROR, level=logging.ERROR),
    KubernetesUnavailableError: Verdict(_WORKLOAD, Reason.API_ERROR),
    OutdatedError: Verdict(_WORKLOAD, Reason.PROGRESSING, progressing=True, level=logging.INFO),
}


def verdict(error: Exception) -> Verdict:
    """The verdict on *error*: of its own class or the nearest listed one above it."""
    for ancestor in type(error).__mro__:
        if ancestor in VERDICTS:
            return VERDICTS[ancestor]
    raise TypeError(f"{type(error).__name__} has no verdict") from error
