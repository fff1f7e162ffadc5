"""`python -m tests.faults`: kills the bridge and its brokers at random moments, then counts what arrived.

Real processes, real brokers, and ids compared as read back from the end. The last line says it all; the exit status
is 1 when a message was lost, doubled or out of order, or when the control, a naive bridge, was not caught at it.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testbed.pulsar import Pulsar
from tests.faults.run import Plan, Report, play
from tests.faults.scenario import SCENARIOS

KILLS = 30
NIGHTLY_KILLS = 200
KILLS_A_RUN = 8
CONTROL_KILLS = 4


def plans(seed: int, kills: int, scenarios: list[str], *, nightly: bool) -> Iterator[Plan]:
    """*kills* faults in runs of a few, the scenarios in turn; a run alone has its own seed and number of kills."""
    number = max(len(scenarios) if kills >= len(scenarios) else 1, -(-kills // KILLS_A_RUN))
    for index in range(number):
        share = kills // number + (index < kills % number)
        yield Plan(scenarios[index % len(scenarios)], seed + index, share, nightly)


def control(seed: int, scenarios: list[str]) -> Iterator[Plan]:
    """One run of the naive bridge for each direction that is tested."""
    for name, inward in (("list-to-pulsar", False), ("pulsar-to-list", True)):
        if any(scenario.startswith("pulsar-") is inward for scenario in scenarios):
            yield Plan(name, seed, CONTROL_KILLS, control=True)


def total(reports: list[Report]) -> tuple[int, int]:
    """How many messages were lost, and how many doubled."""
    verdicts = [report.verdict for report in reports]
    return sum(len(each.lost) for each in verdicts), sum(len(each.duplicated) for each in verdicts)


def main(arguments: list[str]) -> int:
    """Play everything; returns the exit status."""
    options = _options(arguments)
    scenarios = [options.scenario] if options.scenario else list(SCENARIOS)
    kills = options.kills or (NIGHTLY_KILLS if options.nightly else KILLS)
    directory = Path(tempfile.mkdtemp(prefix="headrace-crash-"))
    with Pulsar(directory / "pulsar") as broker:
        reports = []
        for plan in plans(options.seed, kills, scenarios, nightly=options.nightly):
            reports.append(play(plan, broker, directory))
            _say(str(reports[-1]))
        controls = []
        for plan in control(options.seed, scenarios):
            controls.append(play(plan, broker, directory))
            _say(f"control: {controls[-1]}")
    status = _conclude(reports, controls, directory)
    if not status:
        shutil.rmtree(directory)
    return status


def _conclude(reports: list[Report], controls: list[Report], directory: Path) -> int:
    caught, clean = sum(total(controls)) > 0, all(report.clean for report in reports)
    if not clean:
        _say(f"logs: {directory}")
    if not caught:
        _say("the control lost and doubled nothing: this harness proves nothing")
    _say("control: naive bridge lost={} duplicated={}".format(*total(controls)))
    lost, duplicated = total(reports)
    kills = sum(report.plan.kills for report in reports)
    _say(f"crash-test: runs={len(reports)} kills={kills} lost={lost} duplicated={duplicated}")
    return 0 if clean and caught else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="where chance begins (default: %(default)s)")
    parser.add_argument("--kills", type=int, help=f"how many faults (default: {KILLS}; nightly {NIGHTLY_KILLS})")
    parser.add_argument("--nightly", action="store_true", help="longer, and Pulsar is killed too")
    parser.add_argument("--scenario", choices=SCENARIOS, help="only this one (default: all)")
    options = parser.parse_args(arguments)
    if options.kills is not None and options.kills < 1:
        parser.error("--kills: give a number from 1 on")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
