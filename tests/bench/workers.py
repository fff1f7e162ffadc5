"""``python -m tests.bench.workers``: how fast are Celery's workers on Headrace's transport, and on Celery's own?

Everything is measured in one run on the same server, the contenders in turn; see docs/performance.md.
"""

import argparse
import os
import signal
import sys
import time

from rich.console import Console

from testbed.progress import say
from tests.bench import line, worker_report, worker_rounds
from tests.bench.worker_bed import WorkerBed
from tests.bench.worker_rounds import Scale

DEFAULT = Scale(rounds=3, share=1.0)
QUICK = Scale(rounds=1, share=0.5)
THOROUGH = Scale(rounds=5, share=2.0)
LOAD = 0.5
"""A load average above this before we begin means that somebody else computes here."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench-celery", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one short round: for a look, not for figures")
    parser.add_argument("--thorough", action="store_true", help="five rounds of longer runs")
    chosen = parser.parse_args()
    scale = THOROUGH if chosen.thorough else QUICK if chosen.quick else DEFAULT
    # the server is stopped and its folder removed, as by Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    busy = os.getloadavg()[0]
    if busy > LOAD:
        say(f"[yellow]the load of this machine is {busy:.1f}: these figures are not worth publishing[/]")
    with WorkerBed() as bed:
        found = worker_rounds.run(bed, scale)
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    worker_report.show(found, console)
    line.write(worker_report.lines(found), console)
    say(f"{scale.rounds} rounds in {time.monotonic() - began:.0f} s; load at the beginning {busy:.1f}")


if __name__ == "__main__":
    main()
