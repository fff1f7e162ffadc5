"""The crash harness in its short form; `make crash-test` is the long one."""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.pulsar import Pulsar
from tests.faults.__main__ import control, plans, total
from tests.faults.fault import deal
from tests.faults.run import Plan, Report, play
from tests.faults.scenario import SCENARIOS, ListToPulsar
from tests.faults.verdict import Found, Verdict, compare

SEED = 1
KILLS = 22
"""With those of the control it is 30."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulsar]:
    """A Pulsar that these tests may freeze."""
    with Pulsar(tmp_path_factory.mktemp("pulsar")) as server:
        yield server


def play_two_at_a_time(played: Iterable[Plan], broker: Pulsar, directory: Path) -> list[Report]:
    """The reports in the order of the plans. Most of a run is waiting."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda plan: play(plan, broker, directory), played))


def test_p1_p2_nothing_is_lost_or_doubled_whatever_is_killed(broker: Pulsar, tmp_path: Path) -> None:
    reports = play_two_at_a_time(plans(SEED, KILLS, list(SCENARIOS), nightly=False), broker, tmp_path)
    assert [str(report) for report in reports if not report.clean] == []


def test_p1_p2_the_harness_catches_a_naive_bridge(broker: Pulsar, tmp_path: Path) -> None:
    popping, acknowledging = play_two_at_a_time(control(SEED, list(SCENARIOS)), broker, tmp_path)
    assert total([popping])[0] > 0, "who pops and then sends loses what is in his hands"
    assert total([acknowledging])[1] > 0, "who pushes and then acknowledges doubles it"


def test_p1_p2_both_ends_are_compared() -> None:
    found = [Found(1, "a"), Found(3, "a"), Found(2, "a"), Found(5, "b"), Found(5, "b"), Found(4, "c"), Found(9, "c")]
    assert compare(6, found) == Verdict(lost=[6], duplicated=[5, 9], disordered=[2])
    assert compare(2, [Found(2, "a"), Found(1, "b")]).clean


def test_a_seed_decides_on_the_faults() -> None:
    def names(seed: int) -> list[tuple[str, str | None]]:
        chance = random.Random(seed)
        faults = deal(ListToPulsar.points, 30, chance, only_deaths=False, nightly=False)
        return [(fault.name, fault.point) for fault in faults]

    assert names(1) == names(1) != names(2)
    assert {f"killed {point}" for point in ListToPulsar.points} <= {name for name, _ in names(1)}


@pytest.mark.parametrize(("kills", "runs"), [(1, 1), (12, 5), (30, 5), (200, 25)])
def test_kills_are_shared_out(kills: int, runs: int) -> None:
    shared = list(plans(1, kills, list(SCENARIOS), nightly=False))
    assert len(shared) == runs
    assert sum(plan.kills for plan in shared) == kills


def test_a_run_can_be_played_alone() -> None:
    one = list(plans(1, 30, list(SCENARIOS), nightly=False))[3]
    assert list(plans(one.seed, one.kills, [one.scenario], nightly=False)) == [one]
