"""The Valkey half of Valkey -> Pulsar: cuts that survive a crash, with their sequence ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import valkey
from valkey.exceptions import ResponseError

from headrace.bridge.lease import LEASE_MILLISECONDS, Lease
from headrace.bridge.routing import Routing
from headrace.bridge.scripts import raise_if_fenced, script
from headrace.bridge.source import Source

CUT_MESSAGES = 1000
CUT_BYTES = 1024 * 1024
"""Most messages and bytes in a cut, unless one alone is larger. A frame of it stays below the broker's limit."""


@dataclass(frozen=True)
class Cut:
    """Messages in flight to Pulsar."""

    first: int
    """Sequence id of the first entry; the others follow."""
    routing: Routing
    made: int
    """When it was cut, by Valkey's clock: milliseconds since the epoch."""
    pending: bool
    """It was in flight already: an earlier try may have sent it, or parts of it."""
    entries: list[bytes]

    @property
    def last(self) -> int:
        """Sequence id of the last entry."""
        return self.first + len(self.entries) - 1


class CutStore:
    """Cuts of one source. Each call checks the lease and raises ``FencedError`` when another replica has it."""

    def __init__(self, client: valkey.Valkey, source: Source, prefix: str, lease: Lease) -> None:
        self._client = client
        self._source = source
        self._cut_key = f"{prefix}:cut"
        self._state_key = f"{prefix}:cut-state"
        self._lease = lease
        self._cut = script(client, source.take, "cut")
        self._commit = script(client, "commit")

    def next(self, routing: Routing, floor: int) -> Cut | None:
        """The cut in flight, or a new one; None when there is nothing to send.

        *floor*: the highest id that Pulsar is known to have. New ids lie above it, even when Valkey was set back.
        """
        keys = [self._source.key, self._cut_key, self._state_key, self._lease.owner_key, self._lease.lease_key]
        arguments: list[str | bytes | int] = [
            self._lease.token,
            LEASE_MILLISECONDS,
            CUT_MESSAGES,
            CUT_BYTES,
            floor,
            CUT_MESSAGES,
            routing.to_wire(),
            *self._source.arguments,
        ]
        try:
            first, wire, made, pending, entries = self._cut(keys=keys, args=arguments)
        except ResponseError as error:
            raise_if_fenced(error)
            raise
        if not entries:
            return None
        return Cut(int(first), Routing.parse(wire), int(made), bool(pending), entries)

    def commit(self, cut: Cut) -> None:
        """Pulsar has *cut*: forget it."""
        keys = [self._cut_key, self._state_key, self._lease.owner_key, self._lease.lease_key]
        try:
            self._commit(keys=keys, args=[self._lease.token, LEASE_MILLISECONDS, cut.first])
        except ResponseError as error:
            raise_if_fenced(error)
        self._source.committed()

    def waiting(self) -> int:
        """Messages at the source and in flight."""
        return self._source.waiting() + int(cast(int, self._client.llen(self._cut_key)))

    def wait(self, seconds: int) -> None:
        """Wait until the source has something, at most *seconds*."""
        self._source.wait(seconds)
