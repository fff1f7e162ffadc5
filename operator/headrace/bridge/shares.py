"""Which replica moves how many shards: all that live share them evenly.

This only spreads the work. That no two replicas move one shard is the business of each shard's lease.
"""

from __future__ import annotations

import logging
import secrets
import threading
from typing import Any

from headrace.bridge.identity import Identity
from headrace.bridge.lease import LEASE_MILLISECONDS
from headrace.bridge.scripts import script
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

HEARTBEAT_SECONDS = 1.0
LOOP = "shares"

_log = logging.getLogger(__name__)


class Share:
    """The right of a line to try for its lease. This one is of a line that is not shared out: it always may."""

    def claim(self) -> bool:
        """Whether this replica should try for the lease; call :meth:`left` when it is not got, or lost."""
        return True

    def surplus(self) -> bool:
        """Whether this replica should give the lease back, which counts as given back then."""
        return False

    def left(self) -> None:
        """The lease is not this replica's."""


def fair_share(replica: str, replicas: list[str], shards: int) -> int:
    """How many of *shards* are *replica*'s. All replicas come to the same answer, and the sum is *shards*."""
    if replica not in replicas:
        return 0
    least, more = divmod(shards, len(replicas))
    return least + (sorted(replicas).index(replica) < more)


class Shares:
    """The loop of the heartbeat. Runs in a thread of its own; its shares are asked by the loops of the lines."""

    def __init__(
        self, server: ValkeyServer, prefix: str, shards: int, health: Health, stop: Stop, identity: Identity
    ) -> None:
        self._replica = secrets.token_hex(8)
        self._key = f"{prefix}:replicas"
        self._shards = shards
        self._heartbeat: Any = script(server.client(), "preflight", "heartbeat", in_full=True)
        self._health = health
        self._at_valkey = health.standing(LOOP, "valkey") if shards else None
        self._stop = stop
        self._identity = identity
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._fair = 0

    def of(self, shard: int | None) -> Share:
        """The share of one shard's line; of a line that is no shard for None."""
        return Share() if shard is None else _ShardShare(self, shard)

    def run(self) -> None:
        """Keep the count of replicas until the stop."""
        assert self._at_valkey is not None
        tick = self._health.loop(LOOP)
        while not self._stop:
            tick()
            try:
                if self._identity.ours():  # who may hold no shard must not count for one
                    self._beat(LEASE_MILLISECONDS)
                self._at_valkey.served()
            except VALKEY_TROUBLE as error:
                self._at_valkey.failed(error)
            self._stop.wait(HEARTBEAT_SECONDS)
        try:
            self._beat(0)
        except VALKEY_TROUBLE as error:
            _log.debug("the other replicas will miss us: %s", error)
        self._health.done(LOOP)

    def claim(self, shard: int) -> bool:
        """Whether *shard* may be held, which counts as held then."""
        with self._lock:
            if shard not in self._held and len(self._held) >= self._fair:
                return False
            self._held.add(shard)
            return True

    def surplus(self, shard: int) -> bool:
        """Whether *shard* is one too many, which counts as given back then."""
        with self._lock:
            if len(self._held) <= self._fair or self._stop:
                return False
            self._held.discard(shard)
            return True

    def left(self, shard: int) -> None:
        """*shard* is not held any more."""
        with self._lock:
            self._held.discard(shard)

    def _beat(self, milliseconds: int) -> None:
        replicas = [each.decode() for each in self._heartbeat(keys=[self._key], args=[self._replica, milliseconds])]
        fair = fair_share(self._replica, replicas, self._shards)
        if fair != self._fair and milliseconds:
            _log.info("%d replicas live: %d of %d shards are ours", len(replicas), fair, self._shards)
            self._fair = fair


class _ShardShare(Share):
    def __init__(self, shares: Shares, shard: int) -> None:
        self._shares = shares
        self._shard = shard

    def claim(self) -> bool:
        return self._shares.claim(self._shard)

    def surplus(self) -> bool:
        return self._shares.surplus(self._shard)

    def left(self) -> None:
        self._shares.left(self._shard)
