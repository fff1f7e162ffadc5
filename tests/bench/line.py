"""A published figure: a line for machines, held against what the project wants to reach."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.figure import Figure

RESULTS = Path("bench-results.jsonl")


@dataclass(frozen=True)
class Line:
    """One figure with its name."""

    name: str
    figure: Figure
    unit: str
    form: str

    def met(self, aim: str) -> bool:
        """Whether the median meets *aim*, such as ``>= 0.7``."""
        sign, wanted = aim.split()
        return self.figure.median >= float(wanted) if sign == ">=" else self.figure.median < float(wanted)


def show(lines: Iterable[Line], aims: Mapping[str, str], console: Console) -> None:
    """A table of figures, with their aims where they have one."""
    table = Table("", "median (least - greatest)", "aim", box=box.SIMPLE_HEAD)
    for line in lines:
        aim = aims.get(line.name, "")
        verdict = {True: "met", False: "missed"}[line.met(aim)] if aim else ""
        table.add_row(line.name, f"{line.figure.text(line.form)} {line.unit}", f"{aim} {verdict}")
    console.print(table)


def write(lines: Iterable[Line], console: Console) -> None:
    """Print a line for each figure and append it to ``bench-results.jsonl`` in the current folder."""
    common = {
        "commit": commit(),
        "utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    with RESULTS.open("a") as file:
        for line in lines:
            console.print(f"bench {line.name} {line.figure.median:{line.form}} {line.unit}", soft_wrap=True)
            runs = {"value": line.figure.median, "unit": line.unit, "runs": line.figure.runs}
            file.write(json.dumps({"name": line.name, **runs, **common}) + "\n")


def commit() -> str:
    """The commit that is measured, ``-dirty`` when the working copy differs."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    return outcome.stdout.strip() or "unknown"
