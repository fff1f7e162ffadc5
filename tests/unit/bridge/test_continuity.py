"""Whether each message follows the one before it."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.batch import Batch
from headrace.bridge.continuity import Continuity, Gap
from headrace.bridge.pulsar_library import core

PARTITION = "persistent://public/default/a"


def batch(*places: tuple[int, int, int], partition: str = PARTITION) -> Batch:
    """Messages at ledger, entry, index."""
    ids = [core.MessageId(-1, ledger, entry, index) for ledger, entry, index in places]
    return Batch([partition] * len(ids), ids, [b"x"] * len(ids))


def gaps(continuity: Continuity, found: Batch, mark: tuple[int, int, int] | None = None) -> list[Gap]:
    return continuity.gaps(found, {PARTITION: mark} if mark else {})


def test_the_first_message_tells_nothing_of_what_was_before() -> None:
    continuity = Continuity()
    assert gaps(continuity, batch((5, 3, -1), (5, 4, -1))) == [Gap(0, PARTITION, None, (5, 3))]
    assert continuity.last(PARTITION) == (5, 4)


def test_what_was_accounted_for_before_the_opening_is_the_beginning() -> None:
    continuity = Continuity()
    assert gaps(continuity, batch((5, 4, -1), (5, 5, -1)), (5, 3, -1)) == []
    assert gaps(Continuity(), batch((5, 5, -1)), (5, 3, 7)) == [Gap(0, PARTITION, (5, 3), (5, 5))]


def test_what_comes_again_after_a_lost_connection_is_no_gap() -> None:
    continuity = Continuity()
    gaps(continuity, batch((5, 0, -1), (5, 1, -1), (5, 2, -1)), (5, 0, -1))
    assert gaps(continuity, batch((5, 1, -1), (5, 2, -1), (5, 3, -1))) == []
    assert gaps(continuity, batch((5, 4, -1), (5, 2, -1), (5, 3, -1), (5, 4, -1), (5, 6, -1))) == [
        Gap(4, PARTITION, (5, 4), (5, 6))
    ]


def test_another_ledger_is_asked_about() -> None:
    continuity = Continuity()
    assert gaps(continuity, batch((5, 1, -1), (7, 0, -1)), (5, 0, -1)) == [Gap(1, PARTITION, (5, 1), (7, 0))]


def test_partitions_are_looked_at_each_by_itself() -> None:
    continuity = Continuity()
    other = "persistent://public/default/b"
    mixed = Batch.joined([batch((5, 0, -1)), batch((9, 1, -1), partition=other), batch((5, 2, -1))])
    found = continuity.gaps(mixed, {PARTITION: (5, -1, -1), other: (9, 0, -1)})
    assert found == [Gap(2, PARTITION, (5, 0), (5, 2))]


@st.composite
def topics(draw: st.DrawFn) -> tuple[list[list[tuple[int, int, int]]], list[tuple[int, int]]]:
    """Entries, single messages and batches, as several batches of the bridge's; and which entries were left out."""
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=30))
    shown = [draw(st.booleans()) or draw(st.booleans()) for _ in sizes]
    messages: list[tuple[int, int, int]] = []
    for entry, (size, visible) in enumerate(zip(sizes, shown, strict=True)):
        if visible:
            messages += [(5, entry, index) for index in range(size)] or [(5, entry, -1)]
    cuts = sorted(draw(st.lists(st.integers(0, len(messages)), max_size=5)))
    parts = [messages[first:last] for first, last in zip([0, *cuts], [*cuts, len(messages)], strict=True)]
    return [part for part in parts if part], [(5, entry) for entry, visible in enumerate(shown) if not visible]


@given(topics())
def test_p1_each_entry_that_was_left_out_before_another_one_lies_in_a_gap(
    topic: tuple[list[list[tuple[int, int, int]]], list[tuple[int, int]]],
) -> None:
    parts, hidden = topic
    continuity = Continuity()
    found = [gap for part in parts for gap in gaps(continuity, batch(*part), (5, -1, -1) if part is parts[0] else None)]
    between = [(5, entry) for gap in found for entry in range((gap.after or (5, -1))[1] + 1, gap.before[1])]
    end = continuity.last(PARTITION) or (5, -1)
    assert between == [place for place in hidden if place < end]
