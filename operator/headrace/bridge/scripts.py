"""The bridge's Lua scripts, read once."""

from __future__ import annotations

from pathlib import Path

import valkey
from valkey.commands.core import Script
from valkey.exceptions import ResponseError


class FencedError(Exception):
    """Another replica holds the lease; this one must stop writing at once."""


def script(client: valkey.Valkey, *names: str) -> Script:
    """The script of this folder's `.lua` files *names*, one behind the other, bound to *client*."""
    return client.register_script(script_text(*names))


def script_text(*names: str) -> str:
    """The text of this folder's `.lua` files *names*, one behind the other."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def raise_if_fenced(error: ResponseError) -> None:
    """Turn a script's refusal into :class:`FencedError`; raise any other error as it is."""
    if str(error).startswith("FENCED"):
        raise FencedError(str(error).removeprefix("FENCED ")) from None
    raise error
