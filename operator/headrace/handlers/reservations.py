"""Messages taken from Valkey for a while: by a lease, which their process renews, and never by memory alone."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import valkey

from headrace.bridge.scripts import script

TAKEN_BYTES = 8 * 1024 * 1024
"""After so many bytes no more messages are taken in one step."""

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it was taken."""

    id: str
    attempt: int
    key: bytes
    extra: bytes
    """Score of a sorted set's member, field of a hash; empty for others."""
    payload: bytes | list[bytes]
    """The entry; of a stream its fields and values in turn."""


class Settling(StrEnum):
    """What becomes of a message; the words are settle.lua's."""

    DONE = "done"
    RETRY = "retry"
    BACK = "back"


class Settled(IntEnum):
    """What a verdict came to; the numbers are settle.lua's."""

    LOST = 0
    """Another process has the message, or had it: nothing was done, nor recorded."""
    DONE = 1
    REFUSED = 2
    """Valkey does not take its record: nothing was done, and it is still ours."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one message."""

    id: str
    settling: Settling
    wait_milliseconds: int = 0
    list_number: int = 0
    """To which of the lists *record* goes, from 1 on; 0 to none."""
    record: bytes = b""


@dataclass(frozen=True, slots=True)
class Kind:
    """Where messages lie, as the scripts are told."""

    scripts: tuple[str, ...]
    key: str
    arguments: tuple[str, str, str]
    """What the first of the scripts wants to know; where the second is empty, it is what new ids begin with."""
    prefix: str
    """Our own keys begin with it."""


class Reservations:
    """Takes, renews and settles the messages of one key. Each call is one script; all raise ValkeyError, OSError.

    *lists*: where records may go.
    """

    def __init__(self, client: valkey.Valkey, kind: Kind, lists: Sequence[str], lease_seconds: int) -> None:
        self._client = client
        self._kind = kind
        self._token = secrets.token_hex(8)
        self._calls = itertools.count(1)
        self._orphans_from = "-"
        self._lease = lease_seconds * 1000
        names = ("owners", "attempts", "leases", "messages", "busy")
        self._keys = [kind.key, *(f"{kind.prefix}:{name}" for name in names)]
        self._lists = list(lists)
        self._take, self._settle, self._renew = (
            script(client, "preflight", "reservation", *kind.scripts, name, in_full=True, folder=HERE)
            for name in ("take", "settle", "renew")
        )

    def take(self, most: int, *, fresh: bool, orphans: bool) -> tuple[list[Delivery], int]:
        """At most so many messages, and how many were found deleted by others.

        *fresh*: new ones too, not only those whose lease or wait is over. *orphans*: look too for what
        a consumer that is none of ours left.
        """
        arguments = [*self._arguments(), most, TAKEN_BYTES, self._orphans_from if orphans else "", int(fresh)]
        rows, deleted, cursor = self._take(keys=self._keys, args=arguments)
        if orphans:
            self._orphans_from = cursor or "-"
        found = [Delivery(id.decode(), attempt, key, extra, payload) for id, attempt, key, extra, payload in rows]  # noqa: A001
        return found, len(deleted)

    def prove(self) -> str:
        """Raise what a Valkey raises that would settle nothing now; what it would say to a record, or nothing."""
        return self.settle([])[1]

    def renew(self, ids: Iterable[str]) -> None:
        """Keep messages for another lease, those that are still ours; with none, prove that they could be kept."""
        self._renew(keys=self._keys, args=[*self._arguments(), *ids])

    def settle(self, verdicts: Sequence[Verdict]) -> tuple[list[Settled], str]:
        """Settle messages: what each verdict came to, and what Valkey refused of it."""
        arguments: list[Any] = list(self._arguments())
        for one in verdicts:
            arguments += (one.id, one.settling.value, one.wait_milliseconds, one.list_number, one.record)
        *settled, problem = self._settle(keys=[*self._keys, *self._lists], args=arguments)
        return list(map(Settled, settled)), problem.decode(errors="replace")

    def _arguments(self) -> tuple[str | int, ...]:
        first, second, third = self._kind.arguments
        return self._token, self._lease, first, second or f"{self._token}-{next(self._calls)}-", third
