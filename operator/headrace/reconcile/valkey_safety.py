"""Whether Valkey keeps what it took: what that takes, and the condition that says so. Pure."""

from headrace.api.status import ConditionType, Reason, Status
from headrace.reconcile.conditions import Finding
from headrace.reconcile.valkey_facts import ValkeyFacts

_BREAKS_CELERY = ("8.0.0", "8.0.1")
"""They answer UNSUBSCRIBE in a way that ends Celery's waiting for results."""

_KIND = ConditionType.VALKEY_SAFE


def safety_findings(facts: ValkeyFacts | None, *, celery: bool) -> list[Finding]:
    """ValkeySafe; nothing while Valkey could not be asked. *celery*: whether the resource runs Celery."""
    if facts is None:
        return []
    problems: list[tuple[Reason, str]] = []
    if celery and facts.version in _BREAKS_CELERY:
        text = f"Valkey {facts.version} breaks Celery's waiting for results: use 8.0.2 or later"
        problems.append((Reason.VERSION_UNSUITABLE, text))
    if facts.eviction and facts.eviction != "noeviction":
        text = f"Valkey may evict what waits: set maxmemory-policy noeviction (it is {facts.eviction})"
        problems.append((Reason.EVICTION_POSSIBLE, text))
    if facts.append_only is False:
        problems.append((Reason.APPEND_ONLY_FILE_OFF, "Valkey forgets at a restart: set appendonly yes"))
    if problems:
        return [Finding(_KIND, Status.FALSE, problems[0][0], "; ".join(text for _, text in problems))]
    if facts.append_only is None or facts.eviction is None:
        message = "Not known: Valkey does not tell this user how it is set up; allow the command with +info"
        return [Finding(_KIND, Status.UNKNOWN, Reason.NOT_PERMITTED, message)]
    return [Finding.good(_KIND, "Valkey keeps an append-only file and evicts nothing")]
