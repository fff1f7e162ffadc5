"""How the tasks of a worker on Valkey are counted: by its own pods and by the operator. Pure."""

from __future__ import annotations

from collections.abc import Sequence

PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""kombu keeps a queue in one list for each priority step (``Channel.sep``, ``DEFAULT_PRIORITY_STEPS``)."""

_HELD = """#!lua flags=no-writes
local held = 0
for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  held = held + redis.call('HLEN', ARGV[1] .. owner)
end
return held
"""


def owners_key(prefix: str) -> str:
    """Sorted set: the consumers that hold tasks. *prefix*: what the worker's own keys begin with."""
    return f"{prefix}:owners"


def unacked_key(prefix: str, owner: str) -> str:
    """Hash: the tasks that *owner* holds."""
    return f"{prefix}:unacked:{owner}"


def questions(prefix: str, queues: Sequence[str]) -> list[tuple[str, ...]]:
    """The commands, which only read: the length of each list, then how many tasks all consumers hold."""
    lengths = [("LLEN", f"{queue}{suffix}") for queue in queues for suffix in PRIORITY_SUFFIXES]
    return [*lengths, ("EVAL_RO", _HELD, "1", owners_key(prefix), unacked_key(prefix, ""))]


def waiting(queues: Sequence[str], lengths: Sequence[int | None]) -> dict[str, int]:
    """How many tasks wait in each queue. *lengths*: the first answers; a list of an unknown length counts as empty."""
    steps = len(PRIORITY_SUFFIXES)
    return {
        queue: sum(length or 0 for length in lengths[number * steps : (number + 1) * steps])
        for number, queue in enumerate(queues)
    }
