"""One run: a scenario, some faults one after the other, and the comparison of both ends."""

import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.bed import Bed, bed
from tests.faults.catalogue import SCENARIOS
from tests.faults.fault import Fault, deal, deal_named
from tests.faults.mutant import MUTANTS
from tests.faults.network import PATIENCE_SECONDS, ProxiedPulsar
from tests.faults.verdict import Verdict, ranges, settle
from tests.integration.dataplane import topic_account, wait_for


@dataclass(frozen=True)
class Plan:
    """What makes a run what it is: the same plan strikes with the same faults at the same distances."""

    scenario: str
    seed: int
    kills: int
    first: int = 0
    """Number of its first fault among those that this seed deals to the scenario."""
    nightly: bool = False
    control: bool = False
    mutant: str | None = None
    named: tuple[str, ...] = ()
    """The names of its faults, when chance does not deal them."""

    def faults(self) -> list[Fault]:
        """What will befall the bridge, in this order."""
        chance = random.Random(f"{self.seed} {self.scenario}")
        scenario = SCENARIOS[self.scenario]
        if self.control:
            deaths = list(scenario.naive_faults) or [f"killed {step}" for step in scenario.naive_points]
            return deal_named(scenario, scenario.naive_points, deaths * (self.kills // len(deaths)), chance)
        if self.mutant:
            return deal_named(scenario, scenario.points, MUTANTS[self.mutant].faults, chance)
        if self.named:
            return deal_named(scenario, scenario.points, self.named, chance)
        return deal(scenario, self.first + self.kills, chance, nightly=self.nightly)[self.first :]

    def __str__(self) -> str:
        of = f" mutant={self.mutant.replace(' ', '-')}" if self.mutant else ""
        of += f" named={','.join(self.named)!r}" if self.named else ""
        return f"scenario={self.scenario} seed={self.seed} first={self.first} kills={self.kills}{of}"


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    plan: Plan
    story: list[str]
    """Each fault, and how many messages were accepted when it struck."""
    sent: int
    verdict: Verdict
    problem: str = ""
    """Why it did not come to its end. What the bridge still had counts as lost."""
    untold: int = 0
    """How many troubles held the bridge up and it did not tell."""

    @property
    def clean(self) -> bool:
        """Whether everything arrived once and in order, and every refusal was told."""
        return self.verdict.clean and not self.problem and not self.untold

    @property
    def mistakes(self) -> int:
        """Messages that were lost or doubled, and troubles that were not told: how a mutant is caught."""
        return len(self.verdict.lost) + len(self.verdict.duplicated) + self.untold

    def __str__(self) -> str:
        verdict = self.verdict
        numbers = {"lost": verdict.lost, "duplicated": verdict.duplicated, "disordered": verdict.disordered}
        counts = " ".join(f"{name}={len(found)}" for name, found in numbers.items())
        counts += f" untold={self.untold}"
        shown = "".join(f"; {name}: {ranges(found)}" for name, found in numbers.items() if found)
        return (
            f"{self.plan} messages={self.sent} {counts}: "
            f"{', '.join(self.story)}{shown}{'; ' * bool(self.problem)}{self.problem}"
        )


def play(plan: Plan, broker: ProxiedPulsar, directory: Path) -> Report:
    """Play *plan*; the folder of its logs lies in *directory*."""
    chance = random.Random(f"{plan.seed} {plan.scenario} {plan.first}")
    kind = "control-" if plan.control else "mutant-" if plan.mutant else ""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}{plan.scenario}-", dir=directory))
    with bed(
        SCENARIOS[plan.scenario], broker, folder / folder.name, chance, control=plan.control, mutant=plan.mutant
    ) as stage:
        try:
            with stage.traffic:
                _strike(stage, plan.faults())
            problem = _drain(stage, folder)
            stage.bridge.stop()
        except BaseException as error:
            error.add_note(f"in {plan}, after {', '.join(stage.story)}; logs: {folder}")
            raise
        with broker.turn():
            found = stage.scenario.found()
    verdict = settle(stage.traffic.accepted, found, stage.scenario.ledger)
    return Report(plan, stage.story, stage.traffic.accepted, verdict, problem, stage.untold)


def _strike(stage: Bed, faults: list[Fault]) -> None:
    """All the faults, one after the other."""
    stage.succeed(stage.start(faults[0].point), faults[0].point)
    for index, fault in enumerate(faults):
        stage.successor_point = faults[index + 1].point if index + 1 < len(faults) else None
        fault.strike(stage)
        stage.tell(fault.name)


def _drain(stage: Bed, folder: Path) -> str:
    """Wait until nothing is left to do; why not, if it does not come to that, and the broker's account in *folder*."""
    try:
        wait_for(stage.scenario.drained, "the bridge is done", PATIENCE_SECONDS)
    except AssertionError as error:
        if "Pulsar" not in stage.scenario.sides:
            return str(error)
        with stage.servers.pulsar.turn(), (folder / "account.json").open("w") as account:
            json.dump(topic_account(stage.servers.pulsar, stage.servers.topic), account, indent=1)
        return f"{error}; what the broker says: {account.name}"
    return ""
