"""What is measured of the workers, all contenders in turn, several times."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from testbed.progress import say
from tests.bench.figure import Figure
from tests.bench.window import Sample
from tests.bench.worker_bed import HEADRACE, MEMORY, QUEUE, STOCK, Traffic, WorkerBed
from tests.bench.worker_process import HOLD, LONG, NOOP, RESULT, SHORT
from tests.integration.dataplane import wait_for

POOLS = {"solo": 1, "threads": 2, "prefork": 2}
"""Each pool with its concurrency."""
WORKS = {"noop": NOOP, "noop_results": RESULT, "sleep_1ms": SHORT, "sleep_50ms": LONG}
"""Each work with its task."""
COUNTS = {
    (STOCK, "noop"): 4000,
    (HEADRACE, "noop"): 10_000,
    (MEMORY, "noop"): 20_000,
    (STOCK, "noop_results"): 3000,
    (HEADRACE, "noop_results"): 6000,
    (STOCK, "sleep_1ms"): 1500,
    (HEADRACE, "sleep_1ms"): 1500,
    (STOCK, "sleep_50ms"): 50,
    (HEADRACE, "sleep_50ms"): 50,
}
"""Tasks of a run of some seconds."""
CALLS = {"delay": 5000, "batch": 40_000}
HELD = 8
"""Tasks of a worker that is killed: two run, six are reserved."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    share: float
    """Of each run's full number of tasks."""


@dataclass
class Measured:
    """The samples, in the order of the rounds."""

    consumed: dict[tuple[str, str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """By contender, work and pool."""
    traffic: dict[tuple[str, str, str], list[Traffic]] = field(default_factory=lambda: defaultdict(list))
    enqueued: dict[tuple[str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """By contender and way to call."""
    recovery: list[float] = field(default_factory=list)
    """Seconds from the death of a worker until all its tasks have run elsewhere."""

    def rate(self, contender: str, work: str, pool: str) -> Figure:
        """Tasks a second."""
        return Figure.of([sample.rate for sample in self.consumed[contender, work, pool]])

    def cpu(self, contender: str, work: str, pool: str) -> Figure:
        """Microseconds of CPU a task, of the worker's processes."""
        return Figure.of([sample.cpu for sample in self.consumed[contender, work, pool]])


def run(bed: WorkerBed, scale: Scale) -> Measured:
    """Everything, *scale.rounds* times; each other round begins with the other contender."""
    found = Measured()
    for number in range(scale.rounds):
        when = f"round {number + 1}/{scale.rounds}"
        order = (STOCK, HEADRACE) if number % 2 == 0 else (HEADRACE, STOCK)
        for contender in (*order, MEMORY):
            _enqueue(bed, contender, "delay", scale, when, found)
        _enqueue(bed, HEADRACE, "batch", scale, when, found)
        for pool in POOLS:
            for contender in order:
                _consume(bed, contender, pool, scale, when, found)
            if pool == "solo":
                _consume_from_memory(bed, scale, when, found)
        found.recovery.append(_recover(bed))
        say(f"{when}  recovery after kill -9: {found.recovery[-1]:.1f} s")
    return found


def _enqueue(bed: WorkerBed, contender: str, how: str, scale: Scale, when: str, found: Measured) -> None:
    sample = bed.enqueue(contender, how, round(CALLS[how] * scale.share))
    found.enqueued[contender, how].append(sample)
    say(f"{when}  {contender}  {how}: {sample.rate:,.0f}/s")


def _consume(bed: WorkerBed, contender: str, pool: str, scale: Scale, when: str, found: Measured) -> None:
    with bed.worker(contender, pool, POOLS[pool]) as worker:
        bed.drain(worker, NOOP, 200)  # imports, connections and scripts
        for work, task in WORKS.items():
            count = round(COUNTS[contender, work] * scale.share)
            sample, traffic = bed.drain(worker, task, count)
            found.consumed[contender, work, pool].append(sample)
            found.traffic[contender, work, pool].append(traffic)
            trips = f"{traffic.round_trips:.2f} round trips a task"
            say(f"{when}  {contender}  {pool}  {work}: {sample.rate:,.0f}/s, {trips}")


def _consume_from_memory(bed: WorkerBed, scale: Scale, when: str, found: Measured) -> None:
    """The ceiling: Celery itself. An in-memory broker lives in one process, so there is only the solo pool."""
    count = round(COUNTS[MEMORY, "noop"] * scale.share)
    with bed.worker(MEMORY, "solo", 1, fill=count) as worker:
        sample = bed.watch(worker, count)
    found.consumed[MEMORY, "noop", "solo"].append(sample)
    say(f"{when}  {MEMORY}  solo  noop: {sample.rate:,.0f}/s")


def _recover(bed: WorkerBed) -> float:
    """A worker holds tasks and is killed, another one is idle: how long until that one has run them all."""
    with bed.worker(HEADRACE, "prefork", 2, HEADRACE_BENCH_HOLD="1") as victim:
        bed.store.copy(bed.template(HOLD, HELD), QUEUE)
        wait_for(lambda: not bed.store.exists(QUEUE), "the worker holds all tasks")
        with bed.worker(HEADRACE, "prefork", 2) as heir:
            began = time.monotonic()
            victim.kill()
            wait_for(lambda: heir.tally.total() == HELD, "all tasks have run", 120)
            return time.monotonic() - began
