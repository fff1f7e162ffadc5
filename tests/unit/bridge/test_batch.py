"""What a batch passes on is above the watermarks, each message once and in the order of its partition."""

import pulsar
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.batch import Batch, Item, Position, position
from headrace.bridge.pulsar_library import MessageId

places = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(-1, 3))
arrivals = st.lists(st.tuples(st.sampled_from("ab"), places), max_size=12)
marks = st.dictionaries(st.sampled_from("ab"), places)


def identity(place: Position) -> MessageId:
    ledger, entry, index = place
    found: MessageId = pulsar.MessageId(0, ledger, entry, index)._msg_id
    return found


def batch(arrived: list[tuple[str, Position]]) -> Batch:
    names = [f"{partition}{place}".encode() for partition, place in arrived]
    return Batch([partition for partition, _ in arrived], [identity(place) for _, place in arrived], [*names])


@given(arrivals, marks)
def test_p1_p2_all_above_the_marks_once_and_in_order(
    arrived: list[tuple[str, Position]], marks: dict[str, Position]
) -> None:
    fresh = batch(arrived).beyond(marks)
    found = list(zip(fresh.partitions, map(position, fresh.ids), strict=True))
    expected = {(partition, place) for partition, place in arrived if place > marks.get(partition, (-1, -1, -1))}
    assert len(found) == len(expected)
    assert set(found) == expected
    for partition in "ab":
        assert [at for at in found if at[0] == partition] == sorted(at for at in found if at[0] == partition)
    assert fresh.entries == [f"{partition}{place}".encode() for partition, place in found]


@given(st.lists(places, unique=True).map(sorted), st.integers(0, 12))
def test_a_batch_in_order_is_passed_on_as_it_is_and_can_be_cut(ordered: list[Position], number: int) -> None:
    whole = batch([("a", place) for place in ordered])
    assert whole.beyond({}) is whole
    assert whole.head(number).entries + whole.tail(number).entries == whole.entries
    assert {name: position(last) for name, last in whole.last().items()} == ({"a": ordered[-1]} if ordered else {})


def test_a_dead_letter_is_told_by_its_reason() -> None:
    whole = batch([("a", (1, 0, 0)), ("a", (1, 0, 1))])
    assert (whole.plain(), whole.reasons()) == (True, [])
    whole.entries[1] = Item(dead_letter=b"{}", reason="InvalidJSON")
    assert (whole.plain(), whole.reasons()) == (False, [("a", "InvalidJSON")])
