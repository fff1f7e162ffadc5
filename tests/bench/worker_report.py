"""What a run of the workers' bench says."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench import line
from tests.bench.figure import Figure
from tests.bench.line import Line
from tests.bench.window import Sample
from tests.bench.worker_bed import HEADRACE, MEMORY, STOCK
from tests.bench.worker_rounds import POOLS, WORKS, Measured

TRANSPORT_ONLY = ("noop", "noop_results")
"""Works whose cost is all Celery's and the transport's."""
AIMS = (
    {
        "celery.noop.solo.vs_stock": ">= 3",
        "celery.noop.solo.vs_memory": ">= 0.5",
        "celery.noop.threads.vs_stock": ">= 2",
        "celery.noop.prefork.vs_stock": ">= 2",
        "celery.enqueue.batch.vs_delay": ">= 5",
        "celery.recovery.seconds": "< 10",
    }
    | {f"celery.{work}.{pool}.vs_stock": ">= 1" for work in WORKS for pool in POOLS if work != "noop"}
    | {"celery.enqueue.delay.vs_stock": ">= 1"}
)
"""What the project wants to reach: never slower than stock, much faster where nothing but the transport counts."""


def lines(found: Measured) -> list[Line]:
    """All figures for machines."""
    rates = {key: Figure.of([sample.rate for sample in samples]) for key, samples in found.enqueued.items()}
    ours, batch = rates[HEADRACE, "delay"], rates[HEADRACE, "batch"]
    told = [
        Line("celery.enqueue.delay.per_second", ours, "1/s", ".0f"),
        Line("celery.enqueue.delay.vs_stock", ours.over(rates[STOCK, "delay"]), "x", ".2f"),
        Line("celery.enqueue.delay.vs_memory", ours.over(rates[MEMORY, "delay"]), "x", ".2f"),
        Line("celery.enqueue.batch.per_second", batch, "1/s", ".0f"),
        Line("celery.enqueue.batch.vs_delay", batch.over(ours), "x", ".1f"),
        Line("celery.enqueue.batch.vs_stock_delay", batch.over(rates[STOCK, "delay"]), "x", ".1f"),
    ]
    for work in WORKS:
        for pool in POOLS:
            told += _consumed(found, work, pool)
    memory = found.rate(MEMORY, "noop", "solo")
    told.append(Line("celery.noop.solo.vs_memory", found.rate(HEADRACE, "noop", "solo").over(memory), "x", ".2f"))
    cpu = found.cpu(MEMORY, "noop", "solo")
    told.append(Line("celery.noop.solo.cpu_per_task_memory", cpu, "us", ".0f"))
    told.append(Line("celery.recovery.seconds", Figure.of(found.recovery), "s", ".1f"))
    return told


def _consumed(found: Measured, work: str, pool: str) -> list[Line]:
    name, rate = f"celery.{work}.{pool}", found.rate(HEADRACE, work, pool)
    told = [
        Line(f"{name}.per_second", rate, "1/s", ".0f"),
        Line(f"{name}.vs_stock", rate.over(found.rate(STOCK, work, pool)), "x", ".2f"),
    ]
    for contender, suffix in ((HEADRACE, ""), (STOCK, "_stock")) if work in TRANSPORT_ONLY else ():
        told.append(Line(f"{name}.cpu_per_task{suffix}", found.cpu(contender, work, pool), "us", ".0f"))
        traffic = found.traffic[contender, work, pool]
        trips = Figure.of([each.round_trips for each in traffic])
        commands = Figure.of([each.commands for each in traffic])
        told.append(Line(f"{name}.round_trips{suffix}", trips, "1", ".2f"))
        told.append(Line(f"{name}.commands{suffix}", commands, "1", ".2f"))
    return told


def show(found: Measured, console: Console) -> None:
    """The tables."""
    table = Table("", "", "tasks/s (least - greatest)", "us CPU", "round trips", "commands", box=box.SIMPLE_HEAD)
    for (contender, how), samples in found.enqueued.items():
        table.add_row(f"enqueue, {how}", contender, *_cells(Figure.of([sample.rate for sample in samples]), samples))
    for (contender, work, pool), samples in sorted(found.consumed.items(), key=lambda item: item[0][1:]):
        traffic = found.traffic[contender, work, pool] if contender != MEMORY else []
        names = ("round_trips", "commands") if traffic else ()
        counts = [Figure.of([getattr(each, name) for each in traffic]) for name in names]
        cells = _cells(found.rate(contender, work, pool), samples)
        style = "bold" if contender == HEADRACE else ""
        table.add_row(f"{work}, {pool}", contender, *cells, *(f"{each.median:.2f}" for each in counts), style=style)
    console.print(table)
    line.show([each for each in lines(found) if each.name in AIMS], AIMS, console)


def _cells(rate: Figure, samples: list[Sample]) -> tuple[str, str]:
    return rate.text(",.0f"), f"{Figure.of([sample.cpu for sample in samples]).median:.0f}"
