"""The Valkey half of Valkey -> Pulsar: cuts that survive a crash, with their sequence ids."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import valkey
from valkey.exceptions import ResponseError

from headrace.api.policy import MOST_MESSAGES, Batching
from headrace.bridge.lease import LEASE_MILLISECONDS, Lease
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.routing import Routing
from headrace.bridge.scripts import raise_if_fenced, script
from headrace.bridge.source import Source
from headrace.process.needs import Need, Needs

CUTS_IN_FLIGHT = 2
"""While Pulsar confirms one cut the next is taken and made ready."""

MARGIN = 2 * CUTS_IN_FLIGHT * MOST_MESSAGES
"""How far new ids lie above what Pulsar is known to have, when Valkey knows less: of a frame in flight only the first
id is known."""


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
    def landed(self) -> frozenset[int]:
        """Sequence ids of what Pulsar had before the cut got the route that it has now."""
        return frozenset(self.first + place for place in self.routing.landed)

    @property
    def last(self) -> int:
        """Sequence id of the last entry."""
        return self.first + len(self.entries) - 1

    def fills(self, batching: Batching) -> bool:
        """Whether more was likely waiting when it was cut."""
        return len(self.entries) >= batching.max_messages or sum(map(len, self.entries)) > batching.max_bytes // 2


class CutStore:
    """Cuts of one source. Each call checks the lease and raises ``FencedError`` when another replica has it."""

    def __init__(
        self,
        client: valkey.Valkey,
        source: Source,
        prefix: str,
        lease: Lease,
        batching: Batching,
        bucket: TokenBucket,
        channel: str = "",
    ) -> None:
        self._client = client
        self._source = source
        self._batching = batching
        self._entries_key = f"{prefix}:cut"
        self._cuts_key = f"{prefix}:cuts"
        self._state_key = f"{prefix}:cut-state"
        self._lease = lease
        self._bucket = bucket
        self._channel = channel
        self._limited_until = 0.0
        needs = [Need(channel, "", ("PUBLISH", channel, ""))] if channel else []
        self._announcing = Needs(client, needs, in_full=True)
        self._cut = script(client, "preflight", "bucket", *source.take, "cut", in_full=True)
        self._commit = script(client, "preflight", "commit", in_full=True)
        self._reroute = script(client, "preflight", "reroute", in_full=True)

    def next(self, routing: Routing, floor: int, most: int, newest: Cut | None = None) -> list[Cut]:
        """A new cut, or none when there is nothing to send or the rate limit holds it back; or all that are in flight,
        the oldest first, when the newest of them is another one than *newest*: at the start, or after an answer was
        lost.

        *floor*: the highest id that Pulsar is known to have. New ids lie above it, even when Valkey was set back.
        *most*: messages in a new cut.
        """
        if time.monotonic() < self._limited_until:
            return []
        lease = self._lease
        keys = [
            self._source.key,
            self._entries_key,
            self._state_key,
            lease.owner_key,
            lease.lease_key,
            self._cuts_key,
            self._bucket.key,
        ]
        arguments: list[str | bytes | int] = [
            lease.token,
            LEASE_MILLISECONDS,
            most,
            self._batching.max_bytes,
            floor,
            MARGIN,
            routing.to_wire(),
            newest.first if newest else "",
            *self._source.arguments,
            *self._bucket.arguments,
        ]
        try:
            pending, rows, entries, milliseconds = self._cut(keys=keys, args=arguments)
        except ResponseError as error:
            raise_if_fenced(error)
            raise
        self._limited_until = time.monotonic() + milliseconds / 1000
        return _cuts(rows, entries, pending=bool(pending))

    def commit(self, cut: Cut, announced: Sequence[bytes] = ()) -> tuple[int, str]:
        """Pulsar has *cut*, the oldest in flight: forget it, and publish *announced* on the line's channel.

        Returns how many of *announced* no subscriber got, and why when the user may not publish there.
        """
        keys = [self._entries_key, self._cuts_key, self._lease.owner_key, self._lease.lease_key]
        arguments: list[str | bytes | int] = [
            self._lease.token,
            LEASE_MILLISECONDS,
            cut.first,
            len(cut.entries),
            self._channel,
            *announced,
        ]
        try:
            unheard, refusal = self._commit(keys=keys, args=arguments)
        except ResponseError as error:
            raise_if_fenced(error)
            raise
        self._source.committed()
        return unheard, refusal.decode(errors="replace")

    def why_silent(self) -> str:
        """Why the user may not announce on the line's channel; empty when it may."""
        try:
            self._announcing.prove()
        except ResponseError as error:
            return str(error)
        return ""

    def reroute(self, cuts: Sequence[Cut], routings: Sequence[Routing], floor: int) -> list[Cut]:
        """Give *cuts*, which are all that are in flight, other routes and new ids above *floor*.

        Returns them as they are now; none when others are in flight. Raises ``FencedError``.
        """
        keys = [self._cuts_key, self._state_key, self._lease.owner_key, self._lease.lease_key]
        arguments: list[str | bytes | int] = [self._lease.token, LEASE_MILLISECONDS, floor, MARGIN]
        for cut, routing in zip(cuts, routings, strict=True):
            arguments += (cut.first, routing.to_wire())
        try:
            rows = self._reroute(keys=keys, args=arguments)
        except ResponseError as error:
            raise_if_fenced(error)
            raise
        return _cuts(rows, [entry for cut in cuts for entry in cut.entries], pending=False)

    def waiting(self) -> int:
        """Messages at the source and in flight."""
        self._bucket.sample(self._client)
        return self._source.waiting() + int(cast(int, self._client.llen(self._entries_key)))

    def wait(self, seconds: int) -> None:
        """Wait until the source has something, or the rate limit lets it through; at most *seconds*."""
        limited = min(self._limited_until - time.monotonic(), seconds)
        if limited > 0:
            time.sleep(limited)
            self._bucket.waited(limited)
        else:
            self._source.wait(seconds)


def _cuts(rows: list[bytes], entries: list[bytes], *, pending: bool) -> list[Cut]:
    found, at = [], 0
    for row in rows:
        first, count, made, routing = row.split(b" ", 3)
        end = at + int(count)
        found.append(Cut(int(first), Routing.parse(routing), int(made), pending, entries[at:end]))
        at = end
    return found
