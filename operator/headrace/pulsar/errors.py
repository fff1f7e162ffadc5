"""What can be wrong with Pulsar. Each text is for the user: it names the thing and says what to do."""


class PulsarError(Exception):
    """Any of these."""


class PulsarUnreachableError(PulsarError):
    """The admin API does not answer, or answers that it cannot serve now (5xx)."""


class PulsarSilentError(PulsarUnreachableError):
    """Nobody answers at the address at all."""


class AuthenticationFailedError(PulsarError):
    """The admin API refused the credentials (401), or they may not do this (403)."""


class NotFoundError(PulsarError):
    """404: what was asked for does not exist."""


class ConflictError(PulsarError):
    """409, 412 or another refusal; the text is Pulsar's own reason."""


class NamespaceNotFoundError(PulsarError):
    """A topic lies in a namespace that neither exists nor is declared."""


class PartitionDecreaseError(PulsarError):
    """A topic has more partitions than declared."""


class TopicConflictError(PulsarError):
    """Pulsar refused a topic or a policy, or another resource owns the policy."""


class SubscriptionConflictError(PulsarError):
    """A subscription's topic does not exist, or Pulsar refused the subscription."""


class DeduplicationDisabledError(PulsarError):
    """The sink topic exists, does not deduplicate, and is not ours to change."""
