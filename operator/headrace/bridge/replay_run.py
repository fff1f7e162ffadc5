"""One run of a replay as Valkey remembers it: what it does, how far it is, and what it counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import valkey
from valkey.exceptions import ResponseError

from headrace.api.policy import WINDOW_SECONDS
from headrace.api.replay import Replay
from headrace.api.status import ReplayPhase
from headrace.bridge.batch import NOWHERE, Position
from headrace.bridge.lease import LEASE_MILLISECONDS, Lease
from headrace.bridge.scripts import raise_if_fenced, script

MOST_REMEMBERED = 100_000
"""So many letters are remembered as replayed, each for a day: Pulsar may forget that they were acknowledged."""

LAST_INDEX = 2**31 - 1
"""Above every index in a batch: the end of a partition, of which the broker tells ledger and entry."""

ENDED = frozenset({ReplayPhase.COMPLETED, ReplayPhase.CANCELLED, ReplayPhase.FAILED})
"""Phases that a run does not leave."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A letter on its way."""

    message_id: str
    outbox: str
    """The list that takes it there."""
    record: bytes


class UnrunnableError(Exception):
    """The replay cannot be carried out as it is written; the text says why."""


class OutOfStepError(Exception):
    """The run is elsewhere than we know: the answer to an earlier call was lost, or Valkey was set back."""


class RunStore:
    """The run that *replay* names. Writes check the lease and raise ``FencedError`` when another replica has it."""

    def __init__(self, client: valkey.Valkey, prefix: str, lease: Lease, replay: Replay) -> None:
        self._client = client
        self._key = f"{prefix}:replay:{replay.id}"
        self._prefix = prefix
        self._lease = lease
        self._memory_key = f"{prefix}:replayed"
        self._current_key = f"{prefix}:replays"
        self._replay = replay
        self._stage = script(client, "preflight", "replay_stage")
        self._note = script(client, "preflight", "replay_note")
        self._fields: dict[str, str] = {}

    def load(self) -> None:
        """Read the run; make it when its id is new, and cancel the one before it, should it be under way."""
        self._fields = self._read(self._key)
        if not self._fields:
            self._supersede()
            self._write(
                self._key,
                {
                    "id": self._replay.id,
                    "digest": self._replay.digest,
                    "phase": ReplayPhase.PAUSED,
                    "message": "",
                    **dict.fromkeys(("matched", "replayed", "skipped", "failed"), "0"),
                },
            )
            self._fields = self._read(self._key)

    def _supersede(self) -> None:
        before = self._read(self._current_key).get("id")
        if before and before != self._replay.id:
            key = f"{self._prefix}:replay:{before}"
            phase = self._read(key).get("phase")
            if phase and phase not in ENDED:
                message = f"Replay {self._replay.id} took its place"
                self._write(key, {"phase": ReplayPhase.CANCELLED, "finished": _now(), "message": message})
        self._write(self._current_key, {"id": self._replay.id})

    @property
    def phase(self) -> ReplayPhase:
        """Where the run is."""
        return ReplayPhase(self._fields["phase"])

    @property
    def is_same(self) -> bool:
        """Whether the run was begun with what the resource says now."""
        return self._fields["digest"] == self._replay.digest

    @property
    def ends(self) -> dict[str, Position]:
        """Where each partition ended when the run began; empty before it did."""
        found = {name: text for name, text in self._fields.items() if name.startswith("end ")}
        return {name.removeprefix("end "): parse_position(text) for name, text in found.items()}

    @property
    def seen(self) -> str:
        """What `match` found so far, see :class:`headrace.bridge.matching.Matcher`; empty before the first message."""
        return self._fields.get("seen", "")

    @property
    def done(self) -> int:
        """What counts towards the limit: replayed messages; in a dry run those that match."""
        return self.count("matched" if self._replay.dry_run else "replayed")

    def count(self, what: str) -> int:
        """One of the counts: matched, replayed, skipped, failed."""
        return int(self._fields[what])

    def position(self, partition: str) -> Position:
        """How far *partition* was dealt with."""
        text = self._fields.get(f"at {partition}")
        return parse_position(text) if text else NOWHERE

    def begin(self, ends: Mapping[str, Position]) -> None:
        """The run starts, and will end at *ends*."""
        marks = {f"end {name}": encode_position(position) for name, position in ends.items()}
        self.note(started=_now(), phase=ReplayPhase.RUNNING, message="", **marks)

    def end(self, phase: ReplayPhase, message: str = "") -> None:
        """The run is over."""
        self.note(phase=phase, message=message, finished=_now())

    def note(self, **fields: str) -> None:
        """Write those of *fields* that differ; nothing before the run is loaded."""
        if not self._fields:
            return
        changed = {name: value for name, value in fields.items() if self._fields.get(name) != value}
        if changed:
            self._write(self._key, changed)
            self._fields |= changed

    def stage(
        self,
        partition: str,
        position: Position,
        letters: Sequence[Staged],
        *,
        matched: int = 0,
        skipped: int = 0,
        failed: int = 0,
        replayed: int = 0,
    ) -> int:
        """Hand *letters* on, count, and go on to *position*: all or nothing. Returns how many were handed on.

        Those that were replayed lately are not; they are only counted as matched. *replayed*: messages that went by
        another way. Raises :class:`OutOfStepError`.
        """
        outboxes = list(dict.fromkeys(letter.outbox for letter in letters))
        field = f"at {partition}"
        arguments: list[str | bytes | int] = [
            self._lease.token,
            LEASE_MILLISECONDS,
            field,
            self._fields.get(field, ""),
            encode_position(position),
            matched,
            skipped,
            failed,
            replayed,
            WINDOW_SECONDS * 1000,
            MOST_REMEMBERED,
        ]
        for letter in letters:
            arguments += (letter.message_id, outboxes.index(letter.outbox) + 1, letter.record)
        keys = [self._lease.owner_key, self._lease.lease_key, self._key, self._memory_key, *outboxes]
        try:
            staged = int(self._stage(keys=keys, args=arguments))
        except ResponseError as error:
            _refused(error)
        if staged < 0:
            raise OutOfStepError
        self._fields[field] = encode_position(position)
        for name, number in (
            ("matched", matched),
            ("skipped", skipped),
            ("failed", failed),
            ("replayed", staged + replayed),
        ):
            self._fields[name] = str(self.count(name) + number)
        return staged

    def remembered(self, message_ids: Sequence[str]) -> set[str]:
        """Those of *message_ids* that were replayed lately."""
        if not message_ids:
            return set()
        scores: Any = self._client.zmscore(self._memory_key, list(message_ids))
        return {name for name, score in zip(message_ids, scores, strict=True) if score is not None}

    def _read(self, key: str) -> dict[str, str]:
        found: Any = self._client.hgetall(key)
        return {name.decode(): value.decode() for name, value in found.items()}

    def _write(self, key: str, fields: Mapping[str, str]) -> None:
        arguments: list[str | int] = [self._lease.token, LEASE_MILLISECONDS]
        for name, value in fields.items():
            arguments += (name, value)
        try:
            self._note(keys=[self._lease.owner_key, self._lease.lease_key, key], args=arguments)
        except ResponseError as error:
            _refused(error)


def encode_position(position: Position) -> str:
    """``ledger:entry:index``."""
    return ":".join(map(str, position))


def parse_position(text: str) -> Position:
    """The inverse of :func:`encode_position`."""
    ledger, entry, index = (int(part) for part in text.split(":"))
    return ledger, entry, index


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refused(error: ResponseError) -> NoReturn:
    raise_if_fenced(error)
    raise error
