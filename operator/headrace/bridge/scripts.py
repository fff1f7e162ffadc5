"""The bridge's Lua scripts, read once."""

from __future__ import annotations

from pathlib import Path

import valkey
from valkey.commands.core import Script
from valkey.exceptions import ResponseError

from headrace.process import lua


class FencedError(Exception):
    """Another replica holds the lease; this one must stop writing at once."""


HERE = Path(__file__).parent


def script(client: valkey.Valkey, *names: str, in_full: bool = False, folder: Path = HERE) -> Script:
    """The script of the `.lua` files *names*, see :func:`script_text`, bound to *client*.

    *in_full*: a full Valkey runs it too. For what moves messages away, which is what empties it.
    """
    return client.register_script((lua.ALLOWED_IN_FULL if in_full else "") + script_text(*names, folder=folder))


def proof(client: valkey.Valkey, *names: str) -> Script:
    """The same script for a call that writes nothing, to see whether Valkey would refuse one that writes."""
    return client.register_script(lua.WRITING + script_text(*names))


def script_text(*names: str, folder: Path = HERE) -> str:
    """The text of the `.lua` files *names*, one behind the other; what is not in *folder* is one of the bridge's."""
    return lua.script_text(*names, folders=(folder, HERE))


def raise_if_fenced(error: ResponseError) -> None:
    """Turn a script's refusal into :class:`FencedError`; raise any other error as it is."""
    if str(error).startswith("FENCED"):
        raise FencedError(str(error).removeprefix("FENCED ")) from None
    raise error
