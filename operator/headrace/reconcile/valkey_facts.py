"""What a Valkey server says of itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ValkeyFacts:
    """What INFO says; None where it does not."""

    version: str | None = None
    """Valkey's own version; None for a Redis."""
    append_only: bool | None = None
    """Whether the append-only file is on."""
    eviction: str | None = None
    """`maxmemory-policy`, where a limit is set that it can come to act upon; empty where none is."""


def facts_of(info: Any) -> ValkeyFacts:
    """The facts in a parsed INFO; none of them when the answer was another, such as that the user may not ask."""
    if not isinstance(info, Mapping):
        return ValkeyFacts()
    append_only, limit, policy = info.get("aof_enabled"), info.get("maxmemory"), info.get("maxmemory_policy")
    version = info.get("valkey_version")
    return ValkeyFacts(
        version=None if version is None else str(version),
        append_only=None if append_only is None else bool(append_only),
        eviction=None if limit is None or policy is None else str(policy) if limit else "",
    )
