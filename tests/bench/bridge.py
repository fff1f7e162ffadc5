"""``python -m tests.bench.bridge``: how fast is the bridge, and how much of what the libraries can do is that?

Everything is measured in one run on the same servers, the contenders in turn; see docs/performance.md.
"""

import argparse
import os
import signal
import sys
import time

from rich.console import Console

from testbed.progress import say, step
from tests.bench import latency, line, report, rounds
from tests.bench.bed import Bed
from tests.bench.rounds import Scale

DEFAULT = Scale(rounds=3, cuts=(1000, 4000), share=1.0, many=1_000_000, latency_seconds=4)
QUICK = Scale(rounds=1, cuts=(1000,), share=0.5, many=100_000, latency_seconds=4)
THOROUGH = Scale(rounds=5, cuts=(100, 1000, 4000), share=1.5, many=1_000_000, latency_seconds=10)
LOAD = 0.5
"""A load average above this before we begin means that somebody else computes here."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench-bridge", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round, about 90 s: for a look, not for figures")
    parser.add_argument("--thorough", action="store_true", help="five rounds, about 15 min")
    chosen = parser.parse_args()
    scale = THOROUGH if chosen.thorough else QUICK if chosen.quick else DEFAULT
    # the servers are stopped and their folder removed, as by Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    busy = os.getloadavg()[0]
    if busy > LOAD:
        say(f"[yellow]the load of this machine is {busy:.1f}: these figures are not worth publishing[/]")
    with Bed() as bed:
        outcomes = rounds.run(bed, scale)
        with step("memory after a small and a large backlog"):
            memory = rounds.memory(bed, scale)
        latencies = {}
        for row, measure in latency.MEASURES.items():
            with step(f"latency of {row} at {latency.RATE} messages/s"):
                latencies[row] = measure(bed, scale.rounds, scale.latency_seconds)
                bed.settle()
    results = report.Results(outcomes, latencies, memory)
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    report.show(results, console)
    line.write(results.lines(), console)
    say(f"{scale.rounds} rounds in {time.monotonic() - began:.0f} s; load at the beginning {busy:.1f}")


if __name__ == "__main__":
    main()
