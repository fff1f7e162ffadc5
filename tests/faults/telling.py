"""Whether the bridge tells of what holds it up: who is refused must not look as if there were nothing to do (P8)."""

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress

from valkey.exceptions import ResponseError

from tests.faults.bed import Bed
from tests.faults.scenario import Scenario
from tests.faults.traffic import BURST
from tests.integration.dataplane import Headrace, wait_for

Fits = Callable[[type[Scenario]], bool]
"""Whether a trouble can befall a scenario."""
BRIEF = (0.2, 1.5)
"""Seconds that a trouble lasts when it is over before anybody need hear of it."""
BRIEF_SHARE = 0.25
TELL_SECONDS = 10.0
"""How soon it must be told."""
MUTANT_SECONDS = 20.0
"""How long a trouble lasts for a mutant that says nothing of it."""
READY_SECONDS = 60.0
"""How long it may take to be ready again, on a busy machine."""
MOVING_SECONDS = 4.0
"""Who has moved something in so long is not held up."""
GLANCE_SECONDS = 0.1
FAILURES = (
    "headrace_bridge_side_failures_total",
    "pulsar_consumer_failures_total",
    "headrace_bridge_dead_letters_total",
)
"""The series that count refusals."""


class Watch:
    """What one process says from now on."""

    def __init__(self, one: Headrace, words: str, *, strict: bool = False) -> None:
        """*words*: a regular expression that a warning of this trouble fits, and (*strict*) what readiness says."""
        self._strict = strict
        self._one = one
        self._words = re.compile(words, re.IGNORECASE)
        self._read = len(one.log())
        self._failures = self._count()
        self._began = time.monotonic()

    def await_told(self) -> str | None:
        """Wait until it has told; None when it does not in time."""
        deadline = time.monotonic() + TELL_SECONDS
        while (told := self.told()) is None and time.monotonic() < deadline:
            time.sleep(GLANCE_SECONDS)
        return told

    def told(self) -> str | None:
        """How it told of the trouble, and when, or None: it is not ready, or has warned, or counted a refusal."""
        assert self._one.process.poll() is None, f"it ended by itself:\n{self._one.log()[-2000:]}"
        way = self._way()
        return way and f"{way} after {time.monotonic() - self._began:.1f} s"

    def _way(self) -> str | None:
        status, body = self._one.get("/readyz")
        if status == 503 and (not self._strict or self._words.search(body)):
            return "readyz"
        if any(self._words.search(line) for line in warnings(self._one.log()[self._read :])):
            return "log"
        return "metric" if self._count() > self._failures else None

    def _count(self) -> float:
        return sum(self._one.metric(series) for series in FAILURES)


def warnings(log: str) -> list[str]:
    """The lines of a *log* that warn of something."""
    found = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # not whole yet
        if entry.get("level") in {"WARNING", "ERROR", "CRITICAL"}:
            found.append(str(entry.get("message")))
    return found


class Progress:
    """Whether messages still flow, whatever is refused."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._most = self._arrived() or 0
        self._at = time.monotonic()

    def held_up(self) -> bool:
        """Whether something waits and nothing has arrived lately."""
        arrived = self._arrived()
        if arrived is not None and (arrived > self._most + BURST or arrived >= self._bed.traffic.accepted):
            self._most, self._at = arrived, time.monotonic()
        return time.monotonic() - self._at > MOVING_SECONDS

    def _arrived(self) -> int | None:
        """How many messages have, about; None where the place itself is what is wrong."""
        with suppress(ResponseError, OSError, KeyError):
            accepted = self._bed.traffic.accepted
            return accepted - self._bed.scenario.behind(accepted)
        return None


def has_bridge(scenario: type[Scenario]) -> bool:
    """Fits each scenario of a bridge."""
    return scenario.command == "bridge"


def await_trouble(bed: Bed) -> None:
    """Wait for a random message, and for a bridge that is well: what it says then is of this trouble."""
    bed.await_moment()
    wait_for(lambda: bed.bridge.get("/readyz")[0] == 200, "the bridge is ready again", READY_SECONDS)
    if bed.mutant:
        # it is not waited for otherwise, and what does nothing yet is refused nothing
        wait_for(lambda: bed.scenario.moves(bed.bridge), "the mutant moves", READY_SECONDS)


def hold(bed: Bed, words: str) -> None:
    """Let a trouble last: shortly, or until the bridge has told of it. What it neither tells nor moves is untold.

    *words*: a regular expression that a warning of this trouble fits.
    """
    if not bed.mutant and bed.chance.random() < BRIEF_SHARE:
        time.sleep(bed.chance.uniform(*BRIEF))
        bed.remark("for a moment")
        return
    watch, progress = Watch(bed.bridge, words), Progress(bed)
    deadline = time.monotonic() + (MUTANT_SECONDS if bed.mutant else TELL_SECONDS)
    held_up = False
    while (told := watch.told()) is None and time.monotonic() < deadline:
        time.sleep(GLANCE_SECONDS)
        held_up = progress.held_up()
    if told is None and held_up and not bed.mutant:
        bed.untold += 1
    bed.remark(told or ("untold" if held_up else "moving on"))
    time.sleep(bed.chance.uniform(*BRIEF))
