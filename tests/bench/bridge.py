"""``python -m tests.bench.bridge``: how fast is the bridge, and how much of what the libraries can do is that?

Everything is measured in one run on the same servers, the contenders in turn; see docs/performance.md.
"""

from rich.console import Console

from testbed.progress import step
from tests.bench import command, latency, line, report, rounds
from tests.bench.bed import Bed
from tests.bench.rounds import Scale

DEFAULT = Scale(rounds=3, cuts=(1000, 4000), share=1.0, many=1_000_000, latency_seconds=4)
QUICK = Scale(rounds=1, cuts=(1000,), share=0.5, many=100_000, latency_seconds=4)
THOROUGH = Scale(rounds=5, cuts=(100, 1000, 4000), share=1.5, many=1_000_000, latency_seconds=10)
FORMS = {
    "quick": (QUICK, "one round, about 90 s: for a look, not for figures"),
    "thorough": (THOROUGH, "five rounds, about 15 min"),
}


def bench(scale: Scale, console: Console) -> None:
    """Measure and report."""
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
    report.show(results, console)
    line.write(results.lines(), console)


if __name__ == "__main__":
    command.run("bench-bridge", __doc__, DEFAULT, FORMS, bench)
