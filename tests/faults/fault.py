"""The faults that a run can be dealt. Each strikes once, at a message of the stream, and leaves a bridge at work."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.bed import Bed
from tests.faults.deaths import (
    Strike,
    frozen_at,
    killed,
    killed_at,
    killed_cut_off,
    replaced,
    replaced_at,
    replaced_cut_off,
    to_pulsar,
    to_valkey,
)
from tests.faults.outages import (
    LONG,
    SHORT,
    answer_lost,
    cut_off,
    pulsar_frozen,
    pulsar_killed,
    reset,
    valkey_frozen,
    valkey_killed,
)
from tests.faults.scenario import Point, Scenario
from tests.faults.troubles import PARTICULAR, TROUBLES


@dataclass(frozen=True)
class Fault:
    """One fault, with all that is random about it decided but its moment."""

    name: str
    strike: Callable[[Bed], None]
    point: str | None = None
    """Where the bridge must be armed to die or to stop, for a fault that begins so."""


STEPS: Mapping[str, tuple[Callable[[str], Strike], str]] = {
    "killed": (killed_at, ""),
    "held, then killed": (killed_at, "!held"),
    "frozen": (frozen_at, "!stopped"),
    "frozen and replaced": (replaced_at, "!stopped"),
}
"""What happens at each step of the work, and how the bridge is armed for it."""
ANYWHERE: Mapping[str, Strike] = {
    "killed": killed,
    "frozen and replaced": replaced,
    "killed while cut off from Valkey": killed_cut_off(to_valkey),
    "killed while cut off from Pulsar": killed_cut_off(to_pulsar),
    "Valkey killed": valkey_killed,
    "Valkey frozen": valkey_frozen,
    "cut off from Valkey": cut_off(to_valkey, SHORT),
    "reset by Valkey": reset(to_valkey),
    "Valkey's answer lost": answer_lost(to_valkey),
    "Pulsar frozen": pulsar_frozen(SHORT),
    "cut off from Pulsar": cut_off(to_pulsar, SHORT),
    "reset by Pulsar": reset(to_pulsar),
    "Pulsar's answer lost": answer_lost(to_pulsar),
}
NIGHTLY: Mapping[str, Strike] = {
    "Pulsar killed": pulsar_killed,
    "Pulsar frozen for long": pulsar_frozen(LONG),
    "cut off from Valkey for long": cut_off(to_valkey, LONG),
    "cut off from Pulsar for long": cut_off(to_pulsar, LONG),
    "cut off and replaced": replaced_cut_off,
}
"""Those that take long."""


def deck(scenario: type[Scenario], points: Mapping[str, Point], chance: random.Random, *, nightly: bool) -> list[Fault]:
    """Every fault once that can befall *scenario*, with each of the steps *points* at a call of some number."""
    strikes = {**ANYWHERE, **(NIGHTLY if nightly else {})}
    absent = {"Valkey", "Pulsar"} - scenario.sides
    faults = [Fault(name, strike) for name, strike in strikes.items() if not any(side in name for side in absent)]
    faults += [Fault(name, strike) for name, strike in scenario.deaths.items()]
    if nightly:
        faults += [Fault(name, trouble.strike) for name, trouble in TROUBLES.items() if trouble.fits(scenario)]
    for step, point in points.items():
        for name, (strike_at, arming) in STEPS.items():
            call = f"{point.call}#{chance.randint(1, point.most)}{arming}"
            faults.append(Fault(f"{name} {step}", strike_at(call), call))
    return faults


def deck_size(scenario: type[Scenario], *, nightly: bool) -> int:
    """How many faults there are."""
    return len(deck(scenario, scenario.points, random.Random(0), nightly=nightly))


def deal(scenario: type[Scenario], number: int, chance: random.Random, *, nightly: bool = False) -> list[Fault]:
    """That many faults. Each one of the deck comes before any comes again. *nightly*: with what takes long."""
    dealt: list[Fault] = []
    while len(dealt) < number:
        faults = deck(scenario, scenario.points, chance, nightly=nightly)
        chance.shuffle(faults)
        dealt += faults
    return dealt[:number]


def deal_named(
    scenario: type[Scenario], points: Mapping[str, Point], names: Sequence[str], chance: random.Random
) -> list[Fault]:
    """The faults of these *names*, each at a call of its own; raise KeyError when there is none of a name."""
    others = {name: Fault(name, trouble.strike) for name, trouble in {**TROUBLES, **PARTICULAR}.items()}
    dealt = []
    for name in names:
        faults = {fault.name: fault for fault in deck(scenario, points, chance, nightly=True)}
        dealt.append((others | faults)[name])
    return dealt
