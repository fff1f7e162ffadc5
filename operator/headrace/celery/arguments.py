"""The arguments of a call as they stand in a task's message, byte for byte. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.process.exact_json import dumps, read

_BODY = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw], Any])


def arguments_in(body: str | bytes) -> tuple[list[bytes], dict[str, bytes]] | None:
    """The JSON texts of positional and named arguments; None when *body* is not that of a task in JSON."""
    text = body.encode("utf-8", "replace") if isinstance(body, str) else body
    try:
        args, kwargs, _ = _BODY.decode(text)
        return [bytes(each) for each in args], {name: bytes(each) for name, each in kwargs.items()}
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _leniently(text)


def _leniently(text: bytes) -> tuple[list[bytes], dict[str, bytes]] | None:
    """The same of what Python writes besides JSON, without its spaces."""
    try:
        args, kwargs, _ = read(text)
        return [dumps(each) for each in args], {name: dumps(each) for name, each in kwargs.items()}
    except (AttributeError, TypeError, ValueError):
        return None
