"""All troubles by name, and how they are dealt to scenarios."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.deaths import Strike
from tests.faults.neighbours import NEIGHBOURS
from tests.faults.refusals import REFUSALS
from tests.faults.rights import RIGHTS, command, revoked
from tests.faults.scenario import Scenario
from tests.faults.telling import Fits, has_bridge
from tests.faults.topics import TOPICS
from tests.faults.twins import TWINS


@dataclass(frozen=True)
class Trouble:
    """What servers, rights and neighbours do to a bridge while everything runs."""

    strike: Strike
    fits: Fits
    kind: str


TROUBLES: Mapping[str, Trouble] = {
    name: Trouble(strike, fits, kind)
    for kind, troubles in {
        "rights": RIGHTS,
        "refusals": REFUSALS,
        "topics": TOPICS,
        "neighbours": NEIGHBOURS,
        "twins": TWINS,
    }.items()
    for name, (strike, fits) in troubles.items()
}
PARTICULAR: Mapping[str, Trouble] = {
    "the right to XADD revoked": Trouble(revoked(command("xadd")), has_bridge, "rights"),
    "the right to RPUSH revoked": Trouble(revoked(command("rpush")), has_bridge, "rights"),
}
"""Troubles of which nothing is left to chance, for mutants."""


def deal_troubles(
    scenarios: Mapping[str, type[Scenario]], chance: random.Random, most: int, of_a_kind: int | None = None
) -> dict[str, list[str]]:
    """Each trouble once, in a scenario that chance chooses, a few in one; at most *most* in a scenario, and at most
    *of_a_kind* of each kind."""
    names = list(TROUBLES)
    chance.shuffle(names)
    kinds: Counter[str] = Counter()
    dealt: dict[str, list[str]] = {}
    for name in names:
        trouble = TROUBLES[name]
        fitting = [scenario for scenario, kind in scenarios.items() if trouble.fits(kind)]
        fitting = [scenario for scenario in fitting if len(dealt.get(scenario, ())) < most] or fitting
        begun = [scenario for scenario in fitting if scenario in dealt]
        if fitting and (of_a_kind is None or kinds[trouble.kind] < of_a_kind):
            kinds[trouble.kind] += 1
            dealt.setdefault(chance.choice(begun or fitting), []).append(name)
    return dealt
