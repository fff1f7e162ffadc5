"""The end of the demo: what kubectl shows, and the ledger read back from the topics."""

import json
from dataclasses import dataclass, fields
from typing import Any, Self

from rich.console import Console
from rich.table import Table

DELAYS = ("on time", "minor", "major")


@dataclass(frozen=True)
class Report:
    """What the ledger Job printed; its fields are those of `demo.app.ledger.Ledger.to_json`."""

    sent: int
    unique: int
    results: int
    dead_letters: int
    lost: int
    duplicated: int
    unknown: int
    balanced: bool
    seconds: float
    examples: list[str]
    classes: dict[str, dict[str, int]]
    reasons: dict[str, int]
    refusals: list[str]

    @classmethod
    def read(cls, log: str) -> Self:
        """Find the report in the Job's log; raise RuntimeError with the log's end when there is none."""
        for line in reversed(log.splitlines()):
            if line.startswith('{"sent"'):
                report: dict[str, Any] = json.loads(line)
                return cls(**{field.name: report[field.name] for field in fields(cls)})
        raise RuntimeError(f"the ledger could not be read: {log.strip()[-2000:] or 'its pod printed nothing'}")

    def last_line(self) -> str:
        """The demo's very last line, for people and for machines."""
        return (
            f"ledger: sent={self.sent} unique={self.unique} results={self.results} dead_letters={self.dead_letters} "
            f"lost={self.lost} duplicated={self.duplicated} seconds={self.seconds:.1f}"
        )


def show(console: Console, report: Report) -> None:
    """Show what the topics hold, and what is wrong when something is."""
    drawn = Table(title="departures by weather, from the results topic", title_justify="left")
    for name in ("weather", *DELAYS, "delayed"):
        drawn.add_column(name, justify="left" if name == "weather" else "right")
    for weather, counts in sorted(report.classes.items(), key=lambda each: -sum(each[1].values())):
        delayed = 1 - counts.get("on time", 0) / sum(counts.values())
        drawn.add_row(weather, *(f"{counts.get(delay, 0):,}" for delay in DELAYS), f"{delayed:.0%}")
    console.print(drawn)
    for reason, count in report.reasons.items():
        console.print(f"dead letters: {count:,} {reason}, such as: {report.refusals[0]}")
    if not report.balanced:
        console.print(
            f"[red]the ledger does not balance[/]: lost={report.lost} duplicated={report.duplicated} "
            f"unknown={report.unknown}, such as {', '.join(report.examples)}"
        )
