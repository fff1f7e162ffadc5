"""Entries of a cut: of a stream as take_stream.lua writes them, and what a channel published. Pure."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson


def _parts(row: bytes) -> tuple[str, Iterator[bytes]]:
    """The entry's id, and its fields and values in turn."""
    head, _, rest = row.partition(b"\n")
    identity, *lengths = head.decode().split(" ")

    def parts() -> Iterator[bytes]:
        at = 0
        for length in map(int, lengths):
            yield rest[at : at + length]
            at += length

    return identity, parts()


def decoded(row: bytes) -> tuple[str, list[tuple[bytes, bytes]]]:
    """The entry's id, and its fields with their values; Valkey takes a field twice."""
    identity, parts = _parts(row)
    return identity, list(zip(parts, parts, strict=True))


def repeated(pairs: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """A field that stands among *pairs* more than once."""
    counts = Counter(name for name, _ in pairs) if len(dict(pairs)) < len(pairs) else {}
    return next((name for name, count in counts.items() if count > 1), None)


def published(channel: bytes, payload: bytes) -> bytes:
    """The row of what a channel published."""
    return b"%d:%b%b" % (len(channel), channel, payload)


def channel_and_payload(row: bytes) -> tuple[bytes, bytes]:
    """The inverse of :func:`published`."""
    length, _, rest = row.partition(b":")
    at = int(length)
    return rest[:at], rest[at:]


def readable(row: bytes) -> bytes:
    """The entry as JSON for a dead letter: what is not UTF-8 reads ``{"base64": "…"}``; nothing is lost."""
    return readable_entry(*decoded(row))


def readable_entry(identity: str, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The same of an entry's id, and its fields with their values."""
    fields = [[_readable(name), _readable(value)] for name, value in pairs]
    return orjson.dumps({"id": identity, "fields": fields})


def _readable(part: bytes) -> str | dict[str, str]:
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part).decode()}


def from_readable(text: bytes) -> bytes:
    """The inverse of :func:`readable`; raises ValueError, TypeError or KeyError for what it did not write."""
    entry = orjson.loads(text)
    parts = [_bytes(part) for pair in entry["fields"] for part in _pair(pair)]
    return b" ".join([entry["id"].encode(), *(b"%d" % len(part) for part in parts)]) + b"\n" + b"".join(parts)


def _pair(pair: list[Any]) -> tuple[Any, Any]:
    name, value = pair
    return name, value


def _bytes(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else base64.b64decode(part["base64"], validate=True)
