"""One run of a replay as Valkey remembers it: what it does, how far it is, and what it counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from headrace.api.replay import Replay
from headrace.api.status import ReplayPhase
from headrace.bridge.batch import NOWHERE, Position
from headrace.bridge.incarnation import Witness
from headrace.bridge.replay_flight import Departure, Flights

LAST_INDEX = 2**31 - 1
"""Above every index in a batch: the end of a partition, of which the broker tells ledger and entry."""

ENDED = frozenset({ReplayPhase.COMPLETED, ReplayPhase.CANCELLED, ReplayPhase.FAILED})
"""Phases that a run does not leave."""


class UnrunnableError(Exception):
    """The replay cannot be carried out as it is written; the text says why."""


class OutOfStepError(Exception):
    """The run is elsewhere than we know: the answer to an earlier call was lost, or Valkey was set back."""


class RunStore:
    """The run that *replay* names. Writes check the lease and raise ``FencedError`` when another replica has it."""

    def __init__(self, flights: Flights, prefix: str, replay: Replay) -> None:
        self._flights = flights
        self._key = flights.run_key(replay.id)
        self._current_key = f"{prefix}:replays"
        self._replay = replay
        self._fields: dict[str, str] = {}

    def load(self) -> None:
        """Read the run; make it when its id is new, and cancel the one before it, should it be under way."""
        self._fields = self._flights.read(self._key)
        if not self._fields:
            self._supersede()
            self._flights.write(
                self._key,
                {
                    "id": self._replay.id,
                    "digest": self._replay.digest,
                    "phase": ReplayPhase.PAUSED,
                    "message": "",
                    **dict.fromkeys(("matched", "replayed", "skipped", "failed"), "0"),
                },
            )
            self._fields = self._flights.read(self._key)

    def _supersede(self) -> None:
        before = self._flights.read(self._current_key).get("id")
        if before and before != self._replay.id:
            key = self._flights.run_key(before)
            phase = self._flights.read(key).get("phase")
            if phase and phase not in ENDED:
                message = f"Replay {self._replay.id} took its place"
                self._flights.write(key, {"phase": ReplayPhase.CANCELLED, "finished": _now(), "message": message})
        self._flights.write(self._current_key, {"id": self._replay.id})

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

    def witness(self, partition: str) -> Witness | None:
        """The message at the end of *partition*, by which its topic is known again; None when there was none."""
        text = self._fields.get(f"witness {partition}")
        return Witness.parse(text) if text else None

    def begin(self, ends: Mapping[str, Position], witnesses: Mapping[str, Witness]) -> None:
        """The run starts, and will end at *ends*, where the messages *witnesses* lie."""
        marks = {f"end {name}": encode_position(position) for name, position in ends.items()}
        marks |= {f"witness {name}": witness.encode() for name, witness in witnesses.items()}
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
            self._flights.write(self._key, changed)
            self._fields |= changed

    def depart(self, letters: Sequence[Departure]) -> None:
        """Write down what is about to be sent."""
        self._flights.depart(self._replay.id, letters)

    def settle(
        self,
        partition: str,
        position: Position,
        arrived: Sequence[str] = (),
        *,
        matched: int = 0,
        skipped: int = 0,
        failed: int = 0,
        replayed: int = 0,
    ) -> None:
        """Count, remember the letters that *arrived*, by name, and go on to *position*: all or nothing.

        *replayed*: messages that went by another way. Raises :class:`OutOfStepError`.
        """
        field = f"at {partition}"
        place = field, self._fields.get(field, ""), encode_position(position)
        new = self._flights.settle(self._replay.id, place, (matched, skipped, failed, replayed), arrived)
        if new < 0:
            raise OutOfStepError
        self._fields[field] = encode_position(position)
        for name, number in (
            ("matched", matched),
            ("skipped", skipped),
            ("failed", failed),
            ("replayed", new + replayed),
        ):
            self._fields[name] = str(self.count(name) + number)

    def remembered(self, names: Sequence[str]) -> set[str]:
        """Those of the letters *names* that were replayed lately, in whatever run."""
        return self._flights.remembered(names)


def encode_position(position: Position) -> str:
    """``ledger:entry:index``."""
    return ":".join(map(str, position))


def parse_position(text: str) -> Position:
    """The inverse of :func:`encode_position`."""
    ledger, entry, index = (int(part) for part in text.split(":"))
    return ledger, entry, index


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
