"""An entry of a stream as take_stream.lua writes it into a cut: a row of netstrings. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import orjson


def _parts(row: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(row):
        colon = row.index(b":", at)
        end = colon + 1 + int(row[at:colon])
        yield row[colon + 1 : end]
        at = end


def decoded(row: bytes) -> tuple[str, dict[bytes, bytes]]:
    """The entry's id, and its fields; of a field that stands there twice the last value."""
    identity, *rest = _parts(row)
    return identity.decode(), dict(zip(rest[::2], rest[1::2], strict=True))


def readable(row: bytes) -> bytes:
    """The entry as JSON for a dead letter: what is not UTF-8 reads ``{"base64": "…"}``; nothing is lost."""
    identity, *rest = _parts(row)
    pairs = [[_readable(name), _readable(value)] for name, value in zip(rest[::2], rest[1::2], strict=True)]
    return orjson.dumps({"id": identity.decode(), "fields": pairs})


def _readable(part: bytes) -> str | dict[str, str]:
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part).decode()}
