"""What a handler gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a handler of the modes PubSub, Polling and Stream."""

    payload: Any
    """The JSON value, or bytes with `format: Raw`."""
    id: str
    """The same at every attempt: a key for whatever must happen once. A stream entry's own id."""
    key: str
    """The list, sorted set, hash or stream that it lay in, or the channel."""
    attempt: int = 1
    """1 at the first attempt. An attempt that a crash ended counts."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The other fields of a stream entry; `VALKEY_FIELD` of a hash; `VALKEY_SCORE` of a sorted set."""
    raw: bytes | None = None
    """What `payload` was read from, byte for byte; None for a stream entry without `payloadField`."""
