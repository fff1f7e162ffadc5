"""The crash harness in its short form; `make crash-test` is the long one."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from importlib import import_module
from operator import attrgetter

import pytest

from tests.faults.__main__ import AT_A_TIME, control, mutants, nightly_kills, plans, total, troubles
from tests.faults.catalogue import SCENARIOS
from tests.faults.fault import ANYWHERE, NIGHTLY, STEPS
from tests.faults.mutant import MUTANTS
from tests.faults.network import ProxiedPulsar
from tests.faults.rights import all_but
from tests.faults.run import Plan, Report, play
from tests.faults.scenario import Scenario
from tests.faults.troubles import TROUBLES
from tests.faults.verdict import Found, Ledger, Verdict, compare, ranges, settle
from tests.integration.dataplane import ROOT

SEED = 1
KILLS = 30
TROUBLES_OF_A_KIND = 2
ALL = list(SCENARIOS)

Played = dict[Plan, Future[Report]]


def _troubles() -> list[Plan]:
    return list(troubles(SEED, ALL, TROUBLES_OF_A_KIND))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All runs, side by side: the bridge's own, the control's and the mutants'."""
    directory = tmp_path_factory.mktemp("crash")
    with ProxiedPulsar(directory / "pulsar", AT_A_TIME) as broker, ThreadPoolExecutor(AT_A_TIME) as pool:
        all_plans = [*plans(SEED, KILLS, ALL), *_troubles(), *control(SEED, ALL), *mutants(SEED, ALL)]
        yield {plan: pool.submit(play, plan, broker, directory) for plan in all_plans}


def test_p1_p2_nothing_is_lost_or_doubled_whatever_is_killed(played: Played) -> None:
    reports = [played[plan].result() for plan in plans(SEED, KILLS, ALL)]
    assert [str(report) for report in reports if not report.clean] == []


def test_p1_p2_p8_nothing_is_lost_or_doubled_and_every_refusal_is_told_whatever_others_do(played: Played) -> None:
    reports = [played[plan].result() for plan in _troubles()]
    assert [str(report) for report in reports if not report.clean] == []


def test_p1_p2_the_harness_catches_a_naive_bridge(played: Played) -> None:
    popping, acknowledging, stock = (played[plan].result() for plan in control(SEED, ALL))
    assert total([popping])[0] > 0, "who pops and then sends loses what is in his hands"
    assert total([acknowledging])[1] > 0, "who pushes and then acknowledges doubles it"
    assert total([stock])[0] > 0, "kombu's own transport pops a task and then writes down that it has it"


@pytest.mark.parametrize("plan", list(mutants(SEED, ALL)), ids=lambda plan: plan.mutant)
def test_p1_p2_the_harness_catches_the_bridge_with_one_mistake(played: Played, plan: Plan) -> None:
    report = played[plan].result()
    assert report.mistakes > 0, str(report)


def test_p1_p2_both_ends_are_compared() -> None:
    found = [Found(1, "a"), Found(3, "a"), Found(2, "a"), Found(5, "b"), Found(5, "b"), Found(4, "c"), Found(9, "c")]
    assert compare(6, found) == Verdict(lost=[6], duplicated=[5, 9], disordered=[2])
    assert compare(2, [Found(2, "a"), Found(1, "b")]).clean


def test_p1_p2_the_ledger_knows_what_others_did() -> None:
    ledger = Ledger(taken={2}, shared={3, 4})
    ledger.archive([Found(1, ""), Found(5, ""), Found(6, "")], in_flight={5, 7})
    [other] = ledger.expect(1)
    found = [Found(5, ""), Found(7, ""), Found(4, ""), Found(other, "")]
    assert settle(8, found, ledger) == Verdict(lost=[8], duplicated=[], disordered=[5, 4])
    ledger.ordered = False
    assert settle(8, [*found[:3], Found(6, ""), Found(2, "")], ledger) == Verdict([8, other], [2, 6], [])


def test_numbers_are_shown_as_ranges() -> None:
    assert ranges([1, 2, 3, 5, 5, 9, 10]) == "1-3 5 5 9-10"
    assert ranges(range(0, 30, 2)) == "0 2 4 6 8 10 12 14 16 18 …"


def test_a_seed_decides_on_the_faults() -> None:
    def names(seed: int) -> list[tuple[str, str | None]]:
        return [(fault.name, fault.point) for fault in Plan("list-to-pulsar", seed, 30).faults()]

    assert names(1) == names(1) != names(2)


def test_every_scenario_comes_to_every_fault_by_night() -> None:
    dealt: dict[str, set[str]] = {name: set() for name in SCENARIOS}
    for plan in plans(1, nightly_kills(), ALL, nightly=True):
        dealt[plan.scenario] |= {fault.name for fault in plan.faults()}
    for name, scenario in SCENARIOS.items():
        steps = {f"{fault} {step}" for fault in STEPS for step in scenario.points}
        absent = {"Valkey", "Pulsar"} - scenario.sides
        anywhere = {fault for fault in (*ANYWHERE, *NIGHTLY) if not any(side in fault for side in absent)}
        fitting = {name for name, trouble in TROUBLES.items() if trouble.fits(scenario)}
        assert dealt[name] == {*anywhere, *scenario.deaths, *steps, *fitting}, name


def test_all_keys_but_one_are_allowed() -> None:
    patterns = all_but("{a}:b")
    others = ["", "{", "{a}:", "{a}:bc", "{a}:c", "{b}:b", "a}:b", "other"]
    # the empty name is nobody's
    assert [name for name in others if not any(fnmatchcase(name, each.replace("[^", "[!")) for each in patterns)] == [
        ""
    ]
    assert not any(fnmatchcase("{a}:b", pattern.replace("[^", "[!")) for pattern in patterns)


def test_every_trouble_is_dealt_once() -> None:
    dealt = [fault.name for plan in troubles(1, ALL) for fault in plan.faults()]
    assert sorted(dealt) == sorted(TROUBLES)
    few = Counter(TROUBLES[fault.name].kind for plan in _troubles() for fault in plan.faults())
    assert set(few.values()) == {TROUBLES_OF_A_KIND}


def test_the_page_names_every_trouble_and_every_mutant() -> None:
    page = (ROOT / "docs" / "crash-tests.md").read_text().partition("## Troubles")[2]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    assert {name for row in rows for cell in row[1:3] for name in re.findall("`(.+?)`", cell)} == {*TROUBLES, *MUTANTS}


@pytest.mark.parametrize("kills", [1, 12, 30, 200, 201])
def test_kills_are_shared_out(kills: int) -> None:
    assert sum(plan.kills for plan in plans(1, kills, ALL)) == kills


def test_a_run_can_be_played_alone() -> None:
    one = list(plans(1, 200, ALL, nightly=True))[-1]
    assert one.first > 0
    assert list(plans(one.seed, one.kills, [one.scenario], nightly=True, first=one.first)) == [one]


@pytest.mark.parametrize("scenario", list(SCENARIOS.values()), ids=list(SCENARIOS))
def test_every_step_is_a_call_of_the_bridge(scenario: type[Scenario]) -> None:
    for point in [*scenario.points.values(), *scenario.naive_points.values()]:
        module, _, method = point.call.removesuffix("@before").partition(":")
        assert callable(attrgetter(method)(import_module(module)))
