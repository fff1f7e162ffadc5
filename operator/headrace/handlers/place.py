"""Where a worker's messages lie: a list, a sorted set, a hash, a stream."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Protocol

import valkey
from valkey.exceptions import ResponseError

from headrace.api.topic import InitialPosition
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Polling, ScoreUnit, Stream
from headrace.bridge.scripts import script
from headrace.handlers import reading
from headrace.handlers.reception import received_key
from headrace.handlers.reservations import HERE, Kind

SILENT_MILLISECONDS = 60_000
"""A consumer of ours with nothing pending, and silent for so long, is removed from its group."""
POLL_SECONDS = 0.1
"""How often a stream, or what was received from channels, is looked at when nothing more was found."""


class Place(Protocol):
    """What differs between the kinds of keys."""

    kind: Kind
    """What the scripts are told."""
    read: reading.Read
    """Makes messages of what was taken."""
    pause_seconds: float
    """How long to wait when nothing more was found."""
    has_orphans: bool
    """Whether others than our own processes may take messages there."""

    def waiting(self, client: valkey.Valkey) -> int | None:
        """Messages that are due and nobody has taken; None when Valkey does not know."""

    def tend(self, client: valkey.Valkey) -> None:
        """Called every few seconds."""

    def leave(self, client: valkey.Valkey) -> None:
        """This process takes no more and holds nothing."""


def place_of(worker: ValkeyWorker) -> Place:
    """The place that *worker* names."""
    spec, prefix = worker.spec, worker.key_prefix
    if spec.stream is not None:
        return Entries(spec.stream, f"{prefix}:stream")
    if spec.polling is not None:
        return Polled.of(spec.polling, f"{prefix}:polled")
    assert spec.pub_sub is not None
    return Polled("list", received_key(worker), f"{prefix}:polled", reading.published(spec.pub_sub.format))


class Polled:
    """A list, a sorted set or a hash, of which messages are taken out."""

    has_orphans = False

    def __init__(
        self,
        kind: str,
        key: str,
        prefix: str,
        read: reading.Read,
        pause_seconds: float = POLL_SECONDS,
        per_second: int = 1,
    ) -> None:
        self.kind = Kind(("polled", kind), key, (kind, "", str(per_second)), prefix)
        self.read = read
        self.pause_seconds = pause_seconds
        self._per_second = per_second

    @classmethod
    def of(cls, polling: Polling, prefix: str) -> Polled:
        """From the resource."""
        kind, header, per_second = "list", None, 1
        if polling.zset is not None:
            kind, header = "zset", "VALKEY_SCORE"
            per_second = 1 if polling.zset.unit is ScoreUnit.SECONDS else 1000
        elif polling.hash is not None:
            kind, header = "hash", "VALKEY_FIELD"
        read = reading.polled(polling.format, header)
        return cls(kind, polling.key, prefix, read, polling.interval_seconds, per_second)

    def waiting(self, client: valkey.Valkey) -> int | None:
        """Entries, fields, or members that are due."""
        kind, key = self.kind.arguments[0], self.kind.key
        found: Any
        if kind == "zset":
            found = client.zcount(key, "-inf", time.time() * self._per_second)
        else:
            found = client.llen(key) if kind == "list" else client.hlen(key)
        return int(found)

    def tend(self, client: valkey.Valkey) -> None:
        """Nothing to do."""

    def leave(self, client: valkey.Valkey) -> None:
        """Nothing to do."""


class Entries:
    """A stream, read by a consumer group; this process is one consumer of it, named after its pod."""

    has_orphans = True
    pause_seconds = POLL_SECONDS

    def __init__(self, stream: Stream, prefix: str) -> None:
        self._stream = stream
        self._consumer = f"headrace:{os.environ.get('HOSTNAME') or socket.gethostname()}"
        initial = "0-0" if stream.initial_position is InitialPosition.EARLIEST else "$"
        scripts = ("stream_id", "stream_group", "stream")
        self.kind = Kind(scripts, stream.key, (stream.group, self._consumer, initial), prefix)
        self.read = reading.entries(stream)

    def waiting(self, client: valkey.Valkey) -> int | None:
        """The group's lag."""
        try:
            groups: Any = client.xinfo_groups(self._stream.key)
        except ResponseError as error:
            if "no such key" in str(error):
                return 0
            raise
        lags = [group["lag"] for group in groups if group["name"] == self._stream.group.encode()]
        return int(lags[0]) if lags and lags[0] is not None else None

    def tend(self, client: valkey.Valkey) -> None:
        """Remove the consumers of pods that are gone, and what every group has acknowledged."""
        self._retire(client, "")
        if self._stream.trim and client.exists(self._stream.key):
            script(client, "stream_id", "trim", in_full=True)(keys=[self._stream.key])

    def leave(self, client: valkey.Valkey) -> None:
        """Remove our consumer."""
        self._retire(client, self._consumer)

    def _retire(self, client: valkey.Valkey, consumer: str) -> None:
        arguments: list[str | int] = [self._stream.group, consumer, SILENT_MILLISECONDS]
        script(client, "retire", in_full=True, folder=HERE)(keys=[self._stream.key], args=arguments)
