"""A figure: what several runs gave, by its median and its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Some runs of one thing."""

    runs: tuple[float, ...]

    @classmethod
    def of(cls, runs: Sequence[float]) -> Figure:
        """From the runs' values, in the order of the rounds."""
        return cls(tuple(runs))

    @property
    def median(self) -> float:
        """What is published."""
        return statistics.median(self.runs)

    def over(self, other: Figure) -> Figure:
        """The ratio to *other*, round by round: both met the same state of the machine."""
        return Figure(tuple(mine / its for mine, its in zip(self.runs, other.runs, strict=True)))

    def text(self, form: str) -> str:
        """The median and, when there are several runs, (least - greatest); *form* as in `format`."""
        median = format(self.median, form)
        return f"{median} ({min(self.runs):{form}} - {max(self.runs):{form}})" if len(self.runs) > 1 else median


def percentile(values: Sequence[float], share: float) -> float:
    """The least of *values* that at least *share* of them do not exceed; *share* between 0 and 1."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]
