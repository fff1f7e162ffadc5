"""What the broker knows of a subscription on one partition: which entries exist, and which of them it counts as
acknowledged. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

Place = tuple[int, int]
"""Ledger and entry."""

_RANGE = re.compile(r"\((\d+):(-?\d+)\.\.(\d+):(-?\d+)\]")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Entries of one ledger that follow each other."""

    ledger: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, place: Place) -> bool:
        return place[0] == self.ledger and self.first <= place[1] <= self.last


def within(spans: Sequence[Span], place: Place) -> bool:
    """Whether *place* lies in one of *spans*."""
    return any(place in span for span in spans)


def common(ones: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What lies in spans of both, which are in order and do not overlap."""
    found: list[Span] = []
    left = list(others)
    for one in ones:
        while left and (left[0].ledger, left[0].last) < (one.ledger, one.first):
            left.pop(0)
        for other in left:
            if (other.ledger, other.first) > (one.ledger, one.last):
                break
            found.append(Span(one.ledger, max(one.first, other.first), min(one.last, other.last)))
    return found


def without(ones: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What lies in spans of *ones* and not in *others*, both of which are in order and do not overlap."""
    found: list[Span] = []
    both = common(ones, others)
    for one in ones:
        first = one.first
        while both and both[0].ledger == one.ledger and both[0].last <= one.last:
            taken = both.pop(0)
            if first < taken.first:
                found.append(Span(one.ledger, first, taken.first - 1))
            first = taken.last + 1
        if first <= one.last:
            found.append(Span(one.ledger, first, one.last))
    return found


@dataclass(frozen=True)
class Cursor:
    """As it was at one moment."""

    mark: Place
    """Everything up to here is acknowledged."""
    read: Place
    """What the broker gives out next."""
    deleted: tuple[tuple[Place, Place], ...]
    """What is acknowledged above: behind the first up to the second, pair by pair."""
    ledgers: tuple[tuple[int, int], ...]
    """Ledgers that exist, and how many entries each has."""

    @classmethod
    def parse(cls, stats: Mapping[str, Any], subscription: str) -> Self | None:
        """Of the admin API's `internalStats` of a partition; None when there is no such subscription.

        Raises ``KeyError``, ``TypeError`` and ``ValueError`` for what is none.
        """
        cursors = stats["cursors"]
        found = cursors.get(quote(subscription, safe="")) or cursors.get(subscription)
        if not found:
            return None
        ledgers = [(int(each["ledgerId"]), int(each["entries"])) for each in stats["ledgers"]]
        if ledgers:
            # the one that is written has no count yet
            ledgers[-1] = (ledgers[-1][0], max(ledgers[-1][1], int(stats["currentLedgerEntries"])))
        ranges = _RANGE.findall(str(found.get("individuallyDeletedMessages", "")))
        deleted = tuple(((int(a), int(b)), (int(c), int(d))) for a, b, c, d in ranges)
        return cls(_place(found["markDeletePosition"]), _place(found["readPosition"]), deleted, tuple(ledgers))

    def between(self, after: Place, before: Place) -> Iterator[Span]:
        """The entries that exist behind *after* and before *before*."""
        for ledger, entries in self.ledgers:
            first = after[1] + 1 if ledger == after[0] else 0
            last = before[1] - 1 if ledger == before[0] else entries - 1
            if after[0] <= ledger <= before[0] and first <= last:
                yield Span(ledger, first, last)

    def has_acknowledged(self, place: Place) -> bool:
        """Whether the entry at *place* is acknowledged."""
        return bool(self.split([Span(*place, place[1])])[0])

    def split(self, spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
        """*spans* taken apart: what is acknowledged, and what is not."""
        acknowledged, rest = [], list(spans)
        for lower, upper in (((-1, -1), self.mark), *self.deleted):
            left = []
            for span in rest:
                first = max(span.first, lower[1] + 1) if span.ledger == lower[0] else span.first
                last = min(span.last, upper[1]) if span.ledger == upper[0] else span.last
                if not lower[0] <= span.ledger <= upper[0] or first > last:
                    left.append(span)
                    continue
                acknowledged.append(Span(span.ledger, first, last))
                if span.first < first:
                    left.append(Span(span.ledger, span.first, first - 1))
                if last < span.last:
                    left.append(Span(span.ledger, last + 1, span.last))
            rest = left
        return sorted(acknowledged), sorted(rest)


BEGINNING = Cursor((-1, -1), (-1, -1), (), ())
"""Of a subscription that begins with the topic's first message."""


def _place(text: str) -> Place:
    ledger, entry = text.split(":")
    return int(ledger), int(entry)
