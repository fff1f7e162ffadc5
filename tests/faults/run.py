"""One run: a scenario, some faults one after the other, and the comparison of both ends."""

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbed.pulsar import Pulsar
from tests.faults.bed import REACH_SECONDS, Bed, bed
from tests.faults.fault import deal
from tests.faults.verdict import Verdict, compare
from tests.integration.dataplane import wait_for

SHOWN = 10
"""How many numbers of messages a line shows at most."""


@dataclass(frozen=True)
class Plan:
    """What makes a run what it is: the same plan strikes with the same faults at the same distances."""

    scenario: str
    seed: int
    kills: int
    nightly: bool = False
    control: bool = False


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    plan: Plan
    struck: list[str]
    """Each fault, and how many messages were accepted when it struck."""
    sent: int
    verdict: Verdict
    drained: bool
    """False when the bridge did not come to an end in time: what it still had counts as lost."""

    @property
    def clean(self) -> bool:
        """Whether everything arrived once and in order."""
        return self.verdict.clean and self.drained

    def __str__(self) -> str:
        plan, verdict = self.plan, self.verdict
        numbers = {"lost": verdict.lost, "duplicated": verdict.duplicated, "disordered": verdict.disordered}
        counts = " ".join(f"{name}={len(found)}" for name, found in numbers.items())
        shown = "".join(f"; {name}: {_some(found)}" for name, found in numbers.items() if found)
        return (
            f"seed={plan.seed} scenario={plan.scenario} kills={plan.kills} messages={self.sent} {counts}: "
            f"{', '.join(self.struck)}{'' if self.drained else '; it did not come to an end'}{shown}"
        )


def _some(numbers: list[int]) -> str:
    return " ".join(map(str, numbers[:SHOWN])) + (" …" if len(numbers) > SHOWN else "")


def play(plan: Plan, broker: Pulsar, directory: Path) -> Report:
    """Play *plan*; the folder of its logs lies in *directory*."""
    chance = random.Random(f"{plan.seed} {plan.scenario}")
    folder = Path(tempfile.mkdtemp(prefix="control-" if plan.control else f"{plan.scenario}-", dir=directory))
    with bed(plan.scenario, broker, folder / folder.name, chance, control=plan.control) as stage:
        try:
            with stage.traffic:
                struck = _strike(stage, plan)
            drained = _drain(stage)
            stage.bridge.stop()
        except BaseException as error:
            error.add_note(f"in {plan}; logs: {folder}")
            raise
        verdict = compare(stage.traffic.accepted, stage.scenario.found())
    return Report(plan, struck, stage.traffic.accepted, verdict, drained)


def _strike(stage: Bed, plan: Plan) -> list[str]:
    """All the faults, one after the other."""
    scenario = stage.scenario
    points = scenario.naive_points if plan.control else scenario.points
    faults = deal(points, plan.kills, stage.chance, only_deaths=plan.control, nightly=plan.nightly)
    stage.succeed(stage.start(faults[0].point), faults[0].point)
    struck = []
    for index, fault in enumerate(faults):
        stage.successor_point = faults[index + 1].point if index + 1 < len(faults) else None
        fault.strike(stage)
        struck.append(f"{fault.name} at {stage.struck}")
    return struck


def _drain(stage: Bed) -> bool:
    try:
        wait_for(stage.scenario.drained, "the bridge is done", REACH_SECONDS)
    except AssertionError:
        return False
    return True
