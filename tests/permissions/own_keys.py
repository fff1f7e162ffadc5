"""Our own keys: what each is called below `headrace:{NAMESPACE/NAME}:`, and what it holds."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

OWN_KEYS: tuple[tuple[str, str], ...] = (
    ("`identity`", "the uid of the resource whose keys these are, and the name of this installation"),
    ("`owner`, `lease`", "which pod moves messages"),
    ("`replicas`", "which pods there are, of a bridge with `shards`"),
    ("`cut`, `cuts`, `cut-state`", "what is on its way from Valkey to Pulsar"),
    ("`shard-N:*`", "the same of each shard"),
    (
        "`received`, `received-state`, `channels:*`",
        "what was heard on channels, and by which pod of a worker; `received-marks:DB` is a channel of the pods' own",
    ),
    ("`dead-letters`, `dead-letters:*`", "dead letters and retry letters on their way to Pulsar"),
    ("`subscription`, `subscription:*`", "which subscription the next four belong to"),
    ("`watermark`, `witness`, `beginning`, `delivered:TOPIC`", "what was written to Valkey, by its place in the topic"),
    ("`incomplete`", "messages of which some chunks are missing"),
    ("`seen:KEY`", "keys that `deduplicate` remembers"),
    ("`rate`, `breaker`", "the state of `rateLimit` and `circuitBreaker`"),
    ("`durable`", "a mark for `WAIT` and `WAITAOF`"),
    ("`polled:*`, `stream:*`", "what a worker without Celery works on, and what waits for another attempt"),
    ("`owners`, `unacked:OWNER`, `deliveries`, `looked`", "which tasks which Celery worker holds, and since when"),
    ("`staged:OWNER`, `done:TASK`, `lost:TASK`", "results on their way to the outbox, and which tasks gave one"),
    ("`beat`, `beat:lease`", "when periodic tasks ran, and which pod sends them"),
    ("`restarts:POD`", "how often a pod that took no tasks ended itself"),
    ("`replays`, `replays:*`, `replay:ID`, `replay:ID:*`, `replayed`", "replays, and which letters went"),
)

_PATTERNS = [
    re.sub(r"\b(?:ID|KEY|TOPIC|DB|OWNER|TASK|POD|N)\b", "*", pattern)
    for names, what in OWN_KEYS
    for pattern in re.findall(r"`([^`]+)`", f"{names} {what if 'channel of' in what else ''}")
]


def explained(name: str) -> None:
    """Raise ``LookupError`` when the table does not have the key *name*."""
    if not any(
        fnmatchcase(name, pattern) or fnmatchcase(f"{name}:x", pattern) or pattern.startswith(f"{name}:")
        for pattern in _PATTERNS
    ):
        raise LookupError(f"{name} is not in OWN_KEYS: say there what it holds")
