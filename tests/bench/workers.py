"""``python -m tests.bench.workers``: how fast are Celery's workers on Headrace's transport, and on Celery's own?

Everything is measured in one run on the same server, the contenders in turn; see docs/performance.md.
"""

from rich.console import Console

from tests.bench import command, line, worker_report, worker_rounds
from tests.bench.worker_bed import WorkerBed
from tests.bench.worker_rounds import Scale

DEFAULT = Scale(rounds=3, share=1.0)
QUICK = Scale(rounds=1, share=0.5)
THOROUGH = Scale(rounds=5, share=2.0)
FORMS = {
    "quick": (QUICK, "one short round: for a look, not for figures"),
    "thorough": (THOROUGH, "five rounds of longer runs"),
}


def bench(scale: Scale, console: Console) -> None:
    """Measure and report."""
    with WorkerBed() as bed:
        found = worker_rounds.run(bed, scale)
    worker_report.show(found, console)
    line.write(worker_report.lines(found), console)


if __name__ == "__main__":
    command.run("bench-celery", __doc__, DEFAULT, FORMS, bench)
