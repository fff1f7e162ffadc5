"""`python -m tests.faults`: kills the bridge and its brokers at random moments, then counts what arrived.

Real processes, real brokers, and ids compared as read back from the end. The last line says it all; the exit status
is 1 when a message was lost, doubled or out of order, or when the control, a naive bridge, or one of the mutants, the
bridge with one mistake, was not caught at it.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.faults.catalogue import SCENARIOS
from tests.faults.fault import deck_size
from tests.faults.mutant import MUTANTS
from tests.faults.network import ProxiedPulsar
from tests.faults.run import Plan, Report, play
from tests.faults.troubles import deal_troubles
from tests.faults.verdict import compare

KILLS = 30
NIGHTLY_KILLS = 200
"""At least, and as many as it takes for each scenario to come to every fault."""
KILLS_A_RUN = 8
TROUBLES_A_RUN = 5
CONTROL_KILLS = 4
AT_A_TIME = 3
"""Most of a run is waiting."""


def plans(seed: int, kills: int, scenarios: Sequence[str], *, nightly: bool = False, first: int = 0) -> Iterator[Plan]:
    """*kills* faults in runs of a few, the scenarios in turn, each with a share that goes by its fault kinds."""
    sizes = [deck_size(SCENARIOS[scenario], nightly=nightly) for scenario in scenarios]
    ends = [round(kills * sum(sizes[: index + 1]) / sum(sizes)) for index in range(len(sizes))]
    shares = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    for offset in range(0, max(shares), KILLS_A_RUN):
        for scenario, share in zip(scenarios, shares, strict=True):
            if share > offset:
                yield Plan(scenario, seed, min(KILLS_A_RUN, share - offset), first + offset, nightly)


def troubles(seed: int, scenarios: Sequence[str], of_a_kind: int | None = None) -> Iterator[Plan]:
    """Each trouble once, or at most so many *of a kind*, in runs of a few. By night they are dealt to all scenarios."""
    chance = random.Random(f"{seed} troubles")
    kinds = {scenario: SCENARIOS[scenario] for scenario in scenarios}
    for scenario, names in deal_troubles(kinds, chance, TROUBLES_A_RUN, of_a_kind).items():
        yield Plan(scenario, seed, len(names), named=tuple(names))


def nightly_kills() -> int:
    """How many faults the nightly form deals."""
    sizes = [deck_size(scenario, nightly=True) for scenario in SCENARIOS.values()]
    return max(NIGHTLY_KILLS, sum(sizes))


def control(seed: int, scenarios: Sequence[str]) -> Iterator[Plan]:
    """One run of what is naive for each direction that is tested."""
    controls = {(SCENARIOS[scenario].control or scenario) for scenario in scenarios}
    for name in SCENARIOS:
        if name in controls:
            yield Plan(name, seed, CONTROL_KILLS, control=True)


def mutants(seed: int, scenarios: Sequence[str]) -> Iterator[Plan]:
    """One run of each mutant whose scenario is tested."""
    for name, mutant in MUTANTS.items():
        if mutant.scenario in scenarios:
            yield Plan(mutant.scenario, seed, len(mutant.faults), mutant=name)


def total(reports: Sequence[Report]) -> tuple[int, int]:
    """How many messages were lost, and how many doubled."""
    verdicts = [report.verdict for report in reports]
    return sum(len(each.lost) for each in verdicts), sum(len(each.duplicated) for each in verdicts)


def main(arguments: list[str]) -> int:
    """Play everything; returns the exit status."""
    options = _options(arguments)
    scenarios = [options.scenario] if options.scenario else list(SCENARIOS)
    kills = options.kills or (nightly_kills() if options.nightly else KILLS)
    directory = Path(tempfile.mkdtemp(prefix="headrace-crash-"))
    with ProxiedPulsar(directory / "pulsar", AT_A_TIME) as broker:

        def play_all(played: Iterable[Plan], heading: str = "") -> list[Report]:
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                futures = [pool.submit(_played, plan, broker, directory) for plan in played]
                for future in as_completed(futures):
                    _say(f"{heading}{future.result()}")
                return [future.result() for future in futures]

        if options.faults:
            names = tuple(options.faults.split(","))
            played = [Plan(scenario, options.seed, len(names), named=names) for scenario in scenarios]
        else:
            played = [*plans(options.seed, kills, scenarios, nightly=options.nightly, first=options.first)]
            played += [] if options.nightly or options.kills else troubles(options.seed, scenarios)
        reports = play_all(played)
        if options.faults:
            return _conclude(reports, [], [], directory)
        controls = play_all(control(options.seed, scenarios), "control: ")
        mutated = play_all(mutants(options.seed, scenarios), "mutant: ")
    status = _conclude(reports, controls, mutated, directory)
    if not status:
        shutil.rmtree(directory)
    return status


def _played(plan: Plan, broker: ProxiedPulsar, directory: Path) -> Report:
    """As `play`; a run that breaks off keeps the others from nothing."""
    try:
        return play(plan, broker, directory)
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        return Report(plan, [], 0, compare(0, []), " ".join([f"{type(error).__name__}: {error}", *notes]))


def _conclude(reports: list[Report], controls: list[Report], mutated: list[Report], directory: Path) -> int:
    clean = all(report.clean for report in reports)
    if not clean:
        _say(f"logs: {directory}")
    missed = [f"mutant {report.plan.mutant!r}" for report in mutated if not report.mistakes]
    missed += ["control"] if controls and sum(total(controls)) == 0 else []
    for name in missed:
        _say(f"the {name} lost and doubled nothing: this harness proves nothing")
    _say("control: naive bridge lost={} duplicated={}".format(*total(controls)))
    _say(f"mutants: {len(mutated)} lost={total(mutated)[0]} duplicated={total(mutated)[1]}")
    ended = [report for report in reports if report.story]
    if len(ended) < len(reports):
        _say(f"{len(reports) - len(ended)} of {len(reports)} runs broke off; they are not counted below")
    lost, duplicated = total(ended)
    kills = sum(report.plan.kills for report in ended)
    untold = sum(report.untold for report in ended)
    _say(f"crash-test: runs={len(ended)} kills={kills} lost={lost} duplicated={duplicated} untold={untold}")
    return 0 if clean and not missed else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="where chance begins (default: %(default)s)")
    parser.add_argument("--kills", type=int, help=f"how many faults (default: {KILLS}; nightly {nightly_kills()})")
    parser.add_argument("--first", type=int, default=0, help="leave out that many faults of each scenario (default: 0)")
    parser.add_argument("--faults", metavar="NAMES", help="only the faults of these names, with commas between them")
    parser.add_argument("--nightly", action="store_true", help="longer, with what takes long: Pulsar is killed too")
    parser.add_argument("--scenario", choices=SCENARIOS, help="only this one (default: all)")
    options = parser.parse_args(arguments)
    if options.kills is not None and options.kills < 1:
        parser.error("--kills: give a number from 1 on")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
