"""When each periodic task ran last, in Valkey, and the lease of the one scheduler that may send them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import valkey

from headrace.process.lua import script_text
from headrace.process.needs import Need, Needs

LEASE_MILLISECONDS = 6_000
"""How long a scheduler that is silent keeps the lease. One that was killed is replaced after this."""


class LeaseLostError(Exception):
    """Another scheduler is active now."""


@dataclass(frozen=True)
class RunState:
    """What is known of an entry of the schedule."""

    last_run_at: datetime
    """When it ran last; before its first run, when it was first seen. Aware of its time zone."""
    runs: int

    def packed(self) -> bytes:
        """As it stands in Valkey."""
        return orjson.dumps({"lastRunAt": self.last_run_at.isoformat(), "runs": self.runs})

    @classmethod
    def unpacked(cls, text: bytes) -> RunState:
        """From Valkey; raise ValueError when it is not one."""
        try:
            found = orjson.loads(text)
            return cls(datetime.fromisoformat(found["lastRunAt"]), int(found["runs"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text!r} is not the state of a periodic task") from error


@dataclass(frozen=True)
class Message:
    """A task as it is to be queued."""

    key: str
    """The list."""
    body: bytes


class BeatStore:
    """The keys of one ValkeyWorker's schedule. Everything may raise what the client raises."""

    def __init__(self, client: valkey.Valkey, prefix: str) -> None:
        self.token = secrets.token_hex(8)
        self._client = client
        self._known: dict[str, bytes] = {}
        self._lease, self._states = f"{prefix}:beat:lease", f"{prefix}:beat"
        self._needs = Needs(client, [Need(self._states, "hash", ("HSET", self._states, "", ""))], in_full=False)
        self._hold, self._leave, self._send = (
            client.register_script(script_text("preflight", f"beat_{name}", folders=(Path(__file__).parent,)))
            for name in ("hold", "leave", "send")
        )

    def prove(self) -> None:
        """Raise what a Valkey raises that would not note a tick now."""
        self._needs.prove()

    def hold(self) -> bool:
        """Take the lease when it is free, or keep it; whether this scheduler is the active one."""
        return bool(self._hold(keys=[self._lease], args=[self.token, LEASE_MILLISECONDS]))

    def leave(self) -> None:
        """Let another scheduler take over at once."""
        self._leave(keys=[self._lease], args=[self.token])

    def states(self, names: Iterable[str], now: datetime) -> dict[str, RunState]:
        """The state of each entry in *names*; one that is new is first seen *now*, others are forgotten."""
        wanted = list(names)
        stored: Any = self._client.hgetall(self._states)
        known = {name.decode(): state for name, state in stored.items()}
        gone = [name for name in known if name not in wanted]
        if gone:
            self._client.hdel(self._states, *gone)
        for name in wanted:
            if name not in known:
                known[name] = RunState(now, 0).packed()
                self._client.hsetnx(self._states, name, known[name])
        self._known = known
        return {name: RunState.unpacked(known[name]) for name in wanted}

    def send(self, name: str, after: RunState, messages: Sequence[Message]) -> bool:
        """Queue *messages* and note that the entry ran; False when it is not in the state that was read: this tick was
        sent already.

        Raises LeaseLostError.
        """
        keys = [self._lease, self._states, *(message.key for message in messages)]
        bodies = [message.body for message in messages]
        packed = after.packed()
        answer = int(self._send(keys=keys, args=[self.token, name, self._known[name], packed, *bodies]))
        if answer < 0:
            raise LeaseLostError
        if answer:
            self._known[name] = packed
        return answer == 1
