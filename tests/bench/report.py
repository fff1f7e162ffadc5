"""What a run of the bridge's bench says."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench import line
from tests.bench.figure import Figure
from tests.bench.latency import Latencies
from tests.bench.line import Line
from tests.bench.payload import LARGE, SMALL, Payload
from tests.bench.rounds import Outcome
from tests.bench.throughput import HEADRACE, INWARD, OUTWARD, ROWS, SHARDED

AIMS = {
    "list_to_pulsar.vs_raw": ">= 0.7",
    "stream_to_pulsar.vs_raw": ">= 0.4",
    "pulsar_to_list.vs_raw": ">= 0.7",
    "pulsar_to_celery.vs_raw": ">= 0.4",
    "latency.list_to_pulsar.p99": "< 20",
    "latency.pulsar_to_list.p99": "< 20",
}
"""What the project wants to reach, by the name of the figure."""


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    outcomes: list[Outcome]
    latencies: dict[str, Latencies]
    memory: dict[tuple[str, int], Figure]
    """Peak memory of the bridge in MiB, by row and size of the backlog."""

    def find(self, row: str, payload: Payload, name: str) -> Outcome:
        """One contender."""
        [found] = [each for each in self.outcomes if (each.row, each.payload, each.name) == (row, payload, name)]
        return found

    def ceiling(self, row: str, payload: Payload, in_flight: int = 2) -> Outcome:
        """The fastest ceiling of any size of cut, of the row's direction."""
        if row in OUTWARD:
            fitting = [each for each in self.outcomes if each.name.endswith(f"{in_flight} in flight")]
        else:
            fitting = [each for each in self.outcomes if each.name.startswith("ceiling: batches")]
        return max((each for each in fitting if each.payload is payload), key=lambda each: each.rate.median)

    def lines(self) -> list[Line]:
        """All figures for machines. Without a suffix they are of 200-byte messages."""
        found = []
        for payload, suffix in ((SMALL, ""), (LARGE, "_1kb")):
            for row in ROWS:
                found += self._lines(row, payload, f"{row}{suffix}")
        for row, latency in self.latencies.items():
            found += [Line(f"latency.{row}.{name}", each, "ms", ".1f") for name, each in latency.items()]
        for (row, count), peak in self.memory.items():
            found.append(Line(f"memory.{row}.backlog_{count}", peak, "MiB", ".0f"))
        return found

    def _lines(self, row: str, payload: Payload, name: str) -> list[Line]:
        ours = self.find(row, payload, HEADRACE)
        found = [
            Line(f"{name}.msg_per_second", ours.rate, "1/s", ".0f"),
            Line(f"{name}.cpu_per_message", ours.cpu, "us", ".1f"),
            Line(f"{name}.vs_raw", ours.rate.over(self.ceiling(row, payload).rate), "x", ".2f"),
        ]
        if row in OUTWARD:
            others = {
                "vs_raw_one_in_flight": self.ceiling(row, payload, 1),
                "vs_naive_callbacks": self.find(OUTWARD[0], payload, "naive: a callback each"),
                "vs_naive_send": self.find(OUTWARD[0], payload, "naive: send()"),
            }
        else:
            others = {
                "vs_naive": self.find(INWARD[0], payload, "naive: one by one"),
            }
        if row == OUTWARD[0]:
            one, two = (self.find(row, payload, SHARDED.format(each)) for each in ("1 process", "2 processes"))
            found.append(Line(f"{name}.two_processes_vs_one", two.rate.over(one.rate), "x", ".2f"))
        return found + [Line(f"{name}.{key}", ours.rate.over(each.rate), "x", ".2f") for key, each in others.items()]


def show(results: Results, console: Console) -> None:
    """The tables."""
    table = Table(
        "", "moved by", "messages/s (least - greatest)", "us CPU/message", "of the ceiling", box=box.SIMPLE_HEAD
    )
    for payload in (SMALL, LARGE):
        for row in ROWS:
            first = f"{row}, {payload.name}"
            for each in results.outcomes:
                if (each.row, each.payload) == (row, payload):
                    ratio = each.rate.over(results.ceiling(row, payload).rate)
                    cells = (each.rate.text(",.0f"), each.cpu.text(".1f"), ratio.text(".2f"))
                    table.add_row(first, each.name, *cells, style="bold" if each.name == HEADRACE else "")
                    first = ""
            table.add_section()
    console.print(table)
    told = [each for each in results.lines() if each.name in AIMS or each.name.startswith(("latency", "memory"))]
    line.show(told, AIMS, console)
