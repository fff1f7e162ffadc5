"""Where a bridge's messages go in Valkey, and what a message's entry for it looks like. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.api.bridge_sink import Envelope, ValkeySink


@dataclass(frozen=True)
class Target:
    """A list, stream, hash or channel."""

    key: str
    """The key, or the channel's name."""
    scripts: tuple[str, ...]
    """The Lua files that write to it."""
    limit: int = 0
    """Most entries in it: of a list before messages wait, of a stream before the oldest go. 0: any number."""
    raw: bool = False
    """Whether entries are the payloads themselves."""
    is_channel: bool = False


def target_of(sink: ValkeySink) -> Target:
    """What *sink* names."""
    if sink.celery is not None:
        return Target(sink.celery.queue, ("target_list",), sink.celery.max_depth or 0)
    if sink.stream is not None:
        return Target(sink.stream.key, ("row", "target_stream"), sink.stream.max_length or 0)
    if sink.hash is not None:
        return Target(sink.hash.key, ("row", "target_hash"))
    if sink.pub_sub is not None:
        raw = sink.pub_sub.envelope is Envelope.RAW
        return Target(sink.pub_sub.channel, ("target_channel",), raw=raw, is_channel=True)
    assert sink.list is not None
    return Target(sink.list.key, ("target_list",), sink.list.max_depth or 0, raw=sink.list.envelope is Envelope.RAW)


def row(parts: Iterable[bytes]) -> bytes:
    """Parts of any bytes as one argument of a script, see row.lua."""
    found = list(parts)
    return b" ".join(b"%d" % len(part) for part in found) + b"\n" + b"".join(found)
