"""Letters on their way back, as Valkey remembers them: which were sent, and which arrived lately."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
import valkey
from valkey.exceptions import ResponseError

from headrace.api.policy import WINDOW_SECONDS
from headrace.bridge.lease import LEASE_MILLISECONDS, Lease
from headrace.bridge.scripts import raise_if_fenced, script

MOST_REMEMBERED = 100_000
"""So many letters are remembered as replayed, each for a day: Pulsar may forget that they were acknowledged."""

Counts = tuple[int, int, int, int]
"""Matched, skipped, failed, replayed by another way."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A letter that is about to be sent."""

    mark: str
    """What its message says it was made of."""
    name: str
    """Its identity: what is remembered when it arrived."""
    target: str
    """The topic that it goes to."""


@dataclass(frozen=True, slots=True)
class Flight:
    """Letters of which it is not known whether they arrived."""

    run: str
    """The id of the replay."""
    since: int
    """When they were sent, at the earliest: milliseconds since the epoch."""
    letters: tuple[Departure, ...]


class Flights:
    """The letters of one bridge's replays. Writes raise ``FencedError`` when another replica has the lease."""

    def __init__(self, client: valkey.Valkey, prefix: str, lease: Lease) -> None:
        self._client = client
        self._prefix = prefix
        self._lease = lease
        self._key = f"{prefix}:replays:flight"
        self._memory_key = f"{prefix}:replayed"
        self._settle = script(client, "preflight", "replay_settle")
        self._note = script(client, "preflight", "replay_note")

    def run_key(self, run: str) -> str:
        """The hash of the replay with the id *run*."""
        return f"{self._prefix}:replay:{run}"

    def pending(self) -> Flight | None:
        """What an earlier process sent, and nobody settled."""
        found = self.read(self._key)
        if not found:
            return None
        letters = tuple(Departure(*each) for each in orjson.loads(found["letters"]))
        return Flight(found["run"], int(found["since"]), letters)

    def depart(self, run: str, letters: Sequence[Departure]) -> None:
        """Write down what is about to be sent."""
        texts = [(each.mark, each.name, each.target) for each in letters]
        since = str(time.time_ns() // 1_000_000)
        self.write(self._key, {"run": run, "since": since, "letters": orjson.dumps(texts).decode()})

    def land(self, flight: Flight, arrived: Collection[str]) -> None:
        """Of *flight* the letters *arrived* are there, by name; the others were not sent."""
        self.settle(flight.run, ("", "", ""), (0, 0, 0, 0), arrived)

    def settle(self, run: str, place: tuple[str, str, str], counts: Counts, arrived: Collection[str]) -> int:
        """End the flight and count: all or nothing. *place*: the field of a position, what stands there, what shall.

        Returns how many of *arrived* are new; -1, and nothing is done, when something else stands there.
        """
        fixed: list[str | int] = [self._lease.token, LEASE_MILLISECONDS, *place, *counts]
        fixed += [WINDOW_SECONDS * 1000, MOST_REMEMBERED]
        keys = [self._lease.owner_key, self._lease.lease_key, self.run_key(run), self._memory_key, self._key]
        try:
            return int(self._settle(keys=keys, args=[*fixed, *arrived]))
        except ResponseError as error:
            _refused(error)

    def remembered(self, names: Sequence[str]) -> set[str]:
        """Those of the letters *names* that arrived lately."""
        if not names:
            return set()
        scores: Any = self._client.zmscore(self._memory_key, list(names))
        return {name for name, score in zip(names, scores, strict=True) if score is not None}

    def read(self, key: str) -> dict[str, str]:
        """The hash *key*."""
        found: Any = self._client.hgetall(key)
        return {name.decode(): value.decode() for name, value in found.items()}

    def write(self, key: str, fields: Mapping[str, str]) -> None:
        """Write *fields* of the hash *key*."""
        arguments: list[str | int] = [self._lease.token, LEASE_MILLISECONDS]
        for name, value in fields.items():
            arguments += (name, value)
        try:
            self._note(keys=[self._lease.owner_key, self._lease.lease_key, key], args=arguments)
        except ResponseError as error:
            _refused(error)


def _refused(error: ResponseError) -> NoReturn:
    raise_if_fenced(error)
    raise error
