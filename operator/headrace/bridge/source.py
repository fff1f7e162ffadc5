"""Where cuts come from: a Valkey list, or a stream."""

from __future__ import annotations

import time
from typing import Any, Protocol, cast

import valkey
from valkey.exceptions import ResponseError

from headrace.api.bridge_source import StreamSource, ValkeySource
from headrace.api.topic import InitialPosition
from headrace.bridge.lease import Lease
from headrace.bridge.reception import received_key
from headrace.bridge.scripts import raise_if_fenced, script

ORPHANED_MILLISECONDS = 60_000
"""An entry that another consumer of the group took, and did not acknowledge for so long, is taken over."""

TRIM_SECONDS = 1.0


class Source(Protocol):
    """A key of Valkey that entries are taken from."""

    key: str
    """The key."""
    take: tuple[str, ...]
    """The Lua files that take entries out."""
    arguments: tuple[str | int, ...]
    """What these files need to know."""

    def waiting(self) -> int:
        """Entries that nobody has taken."""

    def wait(self, seconds: int) -> None:
        """Wait until there is something to take, at most *seconds*."""

    def committed(self) -> None:
        """A cut has reached Pulsar."""


def open_source(client: valkey.Valkey, spec: ValkeySource, prefix: str, lease: Lease) -> Source:
    """The source that *spec* names."""
    if spec.stream is not None:
        return StreamEntries(client, spec.stream, prefix, lease)
    if spec.pub_sub is not None:
        return ListEntries(client, received_key(prefix))
    assert spec.list is not None
    return ListEntries(client, spec.list.key)


class ListEntries:
    """A list, taken from its right end."""

    take: tuple[str, ...] = ("take_list",)
    arguments: tuple[str | int, ...] = ()

    def __init__(self, client: valkey.Valkey, key: str) -> None:
        self._client = client
        self.key = key

    def waiting(self) -> int:
        """The list's length."""
        return int(cast(int, self._client.llen(self.key)))

    def wait(self, seconds: int) -> None:
        """BLMOVE of a list's end onto the same end blocks like BLPOP and takes nothing out."""
        self._client.blmove(self.key, self.key, seconds, "RIGHT", "RIGHT")

    def committed(self) -> None:
        """A list keeps nothing that was taken."""


class StreamEntries:
    """A stream, read by a consumer group, which is made when missing.

    Entries are copied into the cut and acknowledged in one script, so the group's lag is what waits, and a stream that
    its producers cut short (``XADD … MAXLEN``) loses nothing that was taken.
    """

    take: tuple[str, ...] = ("stream_id", "stream_group", "take_stream")

    def __init__(self, client: valkey.Valkey, spec: StreamSource, prefix: str, lease: Lease) -> None:
        self._client = client
        self._spec = spec
        self._state_key = f"{prefix}:cut-state"
        self._lease = lease
        self._trim = script(client, "fence", "stream_id", "trim")
        self._trimmed = 0.0
        self.key = spec.key
        start = "0-0" if spec.initial_position is InitialPosition.EARLIEST else "$"
        self.arguments: tuple[str | int, ...] = (spec.group, start, ORPHANED_MILLISECONDS)

    def waiting(self) -> int:
        """The group's lag, and what other consumers of it hold."""
        try:
            groups: Any = self._client.xinfo_groups(self.key)
        except ResponseError as error:
            if "no such key" in str(error):
                return 0
            raise
        for group in groups:
            if group["name"].decode() == self._spec.group:
                return int(group["pending"]) + self._lag(group)
        return int(cast(int, self._client.xlen(self.key)))

    def _lag(self, group: dict[str, Any]) -> int:
        """Valkey knows no lag after entries were deleted from the middle; then they are counted."""
        if group["lag"] is not None:
            return int(group["lag"])
        after = b"(" + group["last-delivered-id"]
        found: Any = self._client.xrange(self.key, min=after, count=10_000)
        return len(found)

    def wait(self, seconds: int) -> None:
        """XREAD from where the group stands takes nothing out."""
        read = cast("bytes | None", self._client.hget(self._state_key, "read")) or b"$"
        self._client.xread({self.key: read}, count=1, block=seconds * 1000)

    def committed(self) -> None:
        """Remove what every group has read, when the resource says so; about once a second."""
        if not self._spec.trim or time.monotonic() - self._trimmed < TRIM_SECONDS:
            return
        try:
            self._trim(keys=[self.key, self._lease.owner_key], args=[self._lease.token])
        except ResponseError as error:
            raise_if_fenced(error)
        self._trimmed = time.monotonic()
