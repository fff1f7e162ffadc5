"""What a loop will need of Valkey, asked while it has nothing to do: whether it could is seen before it must."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import valkey

from headrace.process.lua import ALLOWED_IN_FULL, WRITING, script_text

PERIOD_SECONDS = 1.0


class Need(NamedTuple):
    """A command on a key or channel."""

    object: str
    kind: str
    """The type of the key; empty for a channel."""
    command: tuple[str, ...]
    """With all arguments that it needs, of any value where they are neither key nor channel."""


class Needs:
    """What one loop needs. Belongs to that loop alone."""

    def __init__(self, client: valkey.Valkey, needs: Sequence[Need], *, in_full: bool) -> None:
        """*in_full*: a Valkey above its `maxmemory` does all that, too."""
        begins = ALLOWED_IN_FULL if in_full else WRITING
        self._script: Any = client.register_script(begins + script_text("preflight", "needs", folders=()))
        self._arguments = [
            word for need in needs for word in (2 + len(need.command), need.object, need.kind, *need.command)
        ]
        self._proved_at = float("-inf")

    def prove(self) -> None:
        """Raise what a Valkey raises that would refuse something; it is asked once a second at most."""
        if self._arguments and time.monotonic() - self._proved_at > PERIOD_SECONDS:
            self._script(args=self._arguments)
            self._proved_at = time.monotonic()
