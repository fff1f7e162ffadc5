"""What the broker says of a subscription."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.cursor import Cursor, Span, common


def stats(mark: str, deleted: str, *ledgers: tuple[int, int], current: int = 0) -> dict[str, Any]:
    cursor = {"markDeletePosition": mark, "readPosition": "9:0", "individuallyDeletedMessages": deleted}
    return {
        "cursors": {"a%2Fb": cursor},
        "ledgers": [{"ledgerId": ledger, "entries": entries} for ledger, entries in ledgers],
        "currentLedgerEntries": current,
    }


def parsed(*arguments: Any, **options: Any) -> Cursor:
    found = Cursor.parse(stats(*arguments, **options), "a/b")
    assert found is not None
    return found


def test_a_subscription_that_is_not_there_has_none() -> None:
    assert Cursor.parse(stats("1:0", "[]", (1, 1)), "other") is None


def test_between_lies_what_exists() -> None:
    cursor = parsed("3:1", "[]", (3, 5), (4, 0), (6, 0), current=10)
    assert list(cursor.between((3, 1), (6, 2))) == [Span(3, 2, 4), Span(6, 0, 1)]
    assert list(cursor.between((3, 4), (6, 0))) == []
    assert list(cursor.between((6, 0), (6, 1))) == []
    assert list(cursor.between((2, 7), (3, 1))) == [Span(3, 0, 0)]


def test_what_is_acknowledged_is_told_from_what_is_not() -> None:
    cursor = parsed("3:1", "[(3:2..3:4],(5:8..6:1]]", (3, 9), (5, 9), (6, 5))
    assert cursor.split([Span(3, 0, 6)]) == ([Span(3, 0, 1), Span(3, 3, 4)], [Span(3, 2, 2), Span(3, 5, 6)])
    assert cursor.split([Span(5, 7, 9), Span(6, 0, 4)]) == (
        [Span(5, 9, 9), Span(6, 0, 1)],
        [Span(5, 7, 8), Span(6, 2, 4)],
    )
    assert cursor.has_acknowledged((3, 1))
    assert not cursor.has_acknowledged((3, 2))


@given(
    st.integers(-1, 20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=5),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=3),
)
def test_each_entry_is_on_one_side(mark: int, deleted: list[tuple[int, int]], spans: list[tuple[int, int]]) -> None:
    text = ",".join(f"(3:{first - 1}..3:{first + count - 1}]" for first, count in deleted)
    cursor = parsed(f"3:{mark}", f"[{text}]", (3, 40))
    known = {*range(mark + 1), *(entry for first, count in deleted for entry in range(first, first + count))}
    asked = [Span(3, first, first + more) for first, more in spans]
    acknowledged, rest = cursor.split(asked)
    for each in asked:
        for entry in range(each.first, each.last + 1):
            assert any((3, entry) in span for span in (acknowledged if entry in known else rest))
    assert sum(map(len, [*acknowledged, *rest])) == sum(map(len, asked))


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_what_is_common_lies_in_both(ones: set[int], others: set[int]) -> None:
    def spans(entries: set[int]) -> list[Span]:
        starts = sorted(entry for entry in entries if entry - 1 not in entries)
        ends = sorted(entry for entry in entries if entry + 1 not in entries)
        return [Span(3, first, last) for first, last in zip(starts, ends, strict=True)]

    assert common(spans(ones), spans(others)) == spans(ones & others)
