"""Which shard of a list or stream an entry belongs to. For producers too: needs nothing but Python."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=65_536)
def java_string_hash(key: str) -> int:
    """``String.hashCode() & 0x7fffffff``, by which Pulsar's Java client chooses a partition by default.

    Other clients choose otherwise; Python's does as Java's with ``message_router=lambda message, partitions:
    java_string_hash(message.partition_key()) % partitions``.
    """
    units = key.encode("utf-16-be", "surrogatepass")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


def shard_key(source: str, key: str, shards: int) -> str:
    """The list or stream to write an entry to: *source* is `key` of the bridge's source, *shards* its `shards`.

    Entries with one *key* keep their order. The number is Java's ``(key.hashCode() & 0x7fffffff) % shards``.
    Raises ValueError when *shards* is below 1.
    """
    if shards < 1:
        raise ValueError(f"shards is at least 1, not {shards}")
    return source if shards == 1 else f"{source}:{java_string_hash(key) % shards}"
