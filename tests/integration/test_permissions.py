"""Each mode moves its messages with exactly the rights that docs/permissions.md gives it."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from tests.integration.dataplane import Headrace, Processes, wait_for
from tests.permissions import page
from tests.permissions.bed import LimitedPulsar, LimitedValkey, Scene
from tests.permissions.mode import Mode, Trickle
from tests.permissions.modes import MODES


@pytest.fixture(scope="module")
def limited_pulsar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LimitedPulsar]:
    with LimitedPulsar(tmp_path_factory.mktemp("pulsar")) as server:
        yield server
        server.kill()


@pytest.fixture
def broker(mode: Mode, request: pytest.FixtureRequest, tmp_path: Path) -> LimitedPulsar:
    """One that does not run, for what needs none."""
    found: LimitedPulsar = request.getfixturevalue("limited_pulsar") if mode.grants else LimitedPulsar(tmp_path)
    return found


@pytest.fixture
def limited_valkey(tmp_path: Path) -> Iterator[LimitedValkey]:
    with LimitedValkey(tmp_path / "valkey") as server:
        yield server


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
def test_p1_p8_with_the_rights_of_the_page_everything_arrives_and_nothing_is_refused(
    limited_valkey: LimitedValkey, broker: LimitedPulsar, processes: Processes, mode: Mode
) -> None:
    scene = Scene(mode.name, limited_valkey, broker, processes)
    scene.make_topics(*mode.grants)
    scene.allow(page.rules(mode))
    scene.grant(page.grants(mode))
    mode.play(scene)
    scene.count()
    assert scene.refused() == []
    assert [line for each in processes.started for line in each.log().splitlines() if "uthoriz" in line] == []


TRICKLES = [mode for mode in MODES if mode.trickle]
BRIDGES = [mode for mode in TRICKLES if mode.grants]
UNTOLD = {"client|setinfo"}
"""The client library asks for it, and passes over a refusal; nothing depends on it."""


@dataclass
class Attempts:
    """Tries one mode with less than its rights."""

    scene: Scene
    trickle: Trickle
    rules: list[str]
    grants: dict[str, list[str]]
    number: int = 0

    @classmethod
    def of(cls, scene: Scene, mode: Mode) -> Self:
        """With all rights of the page at first."""
        assert mode.trickle
        found = cls(scene, mode.trickle, page.rules(mode, scene.name), page.grants(mode))
        scene.make_topics(*mode.grants)
        scene.allow(found.rules)
        scene.grant(found.grants)
        found.trickle.prepare(scene)
        return found

    def put(self) -> None:
        """Give it the next message."""
        self.number += 1
        self.trickle.put(self.scene, self.number)

    def arrived(self) -> bool:
        """Whether that message arrived."""
        return self.trickle.arrived(self.scene, self.number)

    def from_nothing(self) -> list[str]:
        """Start it without any command, and give it each that is refused until its message arrives; returns what was
        refused without a word."""
        keys = [rule for rule in self.rules if not rule.startswith("+")]
        running = self.trickle.start(self.scene)
        given: list[str] = []
        silent: list[str] = []
        self.scene.allow(keys)
        self.put()
        while True:
            refused = self.refused_next(given)
            if not refused:
                break
            # of several that one step needs the first may be told alone: the others then are when that one is given
            if not within(20, partial(told, running, refused)):
                silent += [f"{command}: {running.get('/readyz')}" for command in refused]
            given += told(running, refused) or refused
            self.scene.allow([*keys, *(f"+{command}" for command in given)])
            if running.process.poll() is not None:
                running = self.trickle.start(self.scene)
        running.stop()
        at_the_stop = self.scene.refused_commands(given)
        silent += [f"{command} at the stop" for command in at_the_stop if not told(running, [command])]
        assert {f"+{command}" for command in given} <= set(self.rules)
        return silent

    def refused_next(self, given: Sequence[str]) -> list[str]:
        """What is refused now; nothing when the message arrived."""
        wait_for(lambda: self.scene.refused_commands(given) or self.arrived(), "it is refused, or it arrives", 90)
        return self.scene.refused_commands(given)

    def without_grant(self, topic: str, action: str) -> str | None:
        """Start it without *action* on *topic*, and give it afterwards; what was kept silent."""
        self.scene.make_topics(topic)  # the broker deletes one that nobody uses for a minute
        self.scene.broker.revoke(self.scene.topic(topic))
        self.scene.grant({topic: [each for each in self.grants[topic] if each != action]})
        running = self.trickle.start(self.scene)
        self.put()
        told = within(15, self.arrived) or within(
            30, lambda: "uthoriz" in running.log() and running.get("/readyz")[0] == 503
        )
        silent = None if told else f"{action} on {topic}: {running.get('/readyz')}"
        self.scene.grant({topic: self.grants[topic]})
        wait_for(self.arrived, f"it arrives with {action} on {topic}", 60)
        running.stop()
        return silent


def told(running: Headrace, commands: Sequence[str]) -> list[str]:
    """Those of *commands* that the process names, as Valkey does or as people do."""
    said = (running.log() + (running.get("/readyz")[1] if running.process.poll() is None else "")).lower()
    words = set(re.findall(r"[a-z|_]+", said))
    return [each for each in commands if each in UNTOLD or each in words or each.replace("|", " ") in said]


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether *condition* came true."""
    try:
        wait_for(condition, "it", seconds)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("mode", TRICKLES, ids=[mode.name for mode in TRICKLES])
def test_p1_p8_each_command_that_is_missing_is_told_by_name_and_it_goes_on_when_it_has_it(
    limited_valkey: LimitedValkey, broker: LimitedPulsar, processes: Processes, mode: Mode
) -> None:
    attempts = Attempts.of(Scene(f"{mode.name}-less", limited_valkey, broker, processes), mode)
    assert attempts.from_nothing() == []


@pytest.mark.parametrize("mode", BRIDGES, ids=[mode.name for mode in BRIDGES])
def test_p1_p8_a_grant_that_is_left_out_is_told_and_nothing_is_lost(
    limited_valkey: LimitedValkey, broker: LimitedPulsar, processes: Processes, mode: Mode
) -> None:
    attempts = Attempts.of(Scene(f"{mode.name}-granted", limited_valkey, broker, processes), mode)
    each = [(topic, action) for topic, actions in attempts.grants.items() for action in actions]
    assert [silent for one in each if (silent := attempts.without_grant(*one))] == []
