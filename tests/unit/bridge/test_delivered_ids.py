from typing import cast

import valkey
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.batch import Position
from headrace.bridge.delivered_ids import DeliveredIds, encoded
from headrace.bridge.remembered import Remembered
from tests.unit.bridge.test_batch import batch

positions = st.tuples(st.integers(0, 2**62), st.integers(-1, 2**62), st.integers(-1, 2**31 - 2))


@given(st.lists(positions, max_size=20))
def test_ids_sort_as_positions_do(some: list[Position]) -> None:
    assert sorted(some, key=encoded) == sorted(some)


def test_what_was_pushed_before_is_found_again_in_the_batch() -> None:
    client = valkey.Valkey()
    ids = DeliveredIds(client, Remembered(client, "headrace:{a/b}", "shop"))
    mixed = batch([("b", (1, 0, -1)), ("a", (1, 0, -1)), ("b", (1, 1, -1)), ("a", (1, 1, -1))])
    one, two = encoded((1, 0, -1)), encoded((1, 1, -1))
    assert ids.arguments(mixed) == [2, one, two, 2, one, two]
    # the first partition is that of the first message; Lua counts from 1
    assert ids.places(mixed, [1, 2, 2, 1]) == {2, 1}
    assert mixed.without({2, 1}).entries == [cast(bytes, mixed.entries[0]), cast(bytes, mixed.entries[3])]
