"""Two replicas receive the same; whoever goes on knows exactly what the other has put away."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.tape import Place, Tape, Where

MARK = None
PUBLISHED = st.lists(st.one_of(st.just(MARK), st.binary(min_size=1, max_size=4)), max_size=40)


def recorded(published: list[bytes | None], first: int = 1, limit: int = 1_000_000) -> Tape:
    """A tape that began with the mark *first* and received *published*."""
    tape = Tape(limit)
    tape.mark(first)
    for item in published:
        if item is MARK:
            tape.mark(tape.newest_mark + 1)
        else:
            tape.add(item)
    return tape


def rest(tape: Tape) -> list[bytes]:
    found = []
    while tape and (stretch := tape.oldest(7, 10)):
        found += stretch.entries
        tape.forget(stretch.end)
    return found


@given(PUBLISHED, st.integers(0, 40))
def test_p1_p2_another_replica_goes_on_where_this_one_ended(published: list[bytes | None], count: int) -> None:
    one, other = recorded(published), recorded(published)
    messages = [item for item in published if item is not MARK]
    stretch = one.oldest(count, 1_000_000) if count else None
    if stretch is not None:
        assert other.find(stretch.end) is Where.ON_IT
        other.forget(stretch.end)
    assert rest(other) == messages[count:]


@given(PUBLISHED, st.integers(1, 30))
def test_what_found_no_room_is_counted_and_moves_no_place(published: list[bytes | None], limit: int) -> None:
    whole, short = recorded(published), recorded(published, limit=limit)
    lost = 0
    while short and (stretch := short.oldest(3, 1_000)):
        assert whole.find(stretch.end) is Where.ON_IT
        lost += stretch.lost
        short.forget(stretch.end)
        whole.forget(stretch.end)
        assert rest_count(short) == rest_count(whole)
    assert not whole


def rest_count(tape: Tape) -> int:
    stretch = tape.oldest(1_000, 1_000_000)
    return len(stretch.entries) + stretch.lost if stretch else 0


def test_a_place_before_the_tape_is_a_gap_and_one_that_is_to_come_is_waited_for() -> None:
    tape = recorded([b"a", MARK, b"b"], first=5)
    assert tape.find(Place(4, 0)) is Where.BEFORE
    assert tape.find(Place(5, 1)) is Where.ON_IT
    assert tape.find(Place(6, 2)) is Where.AHEAD
    assert tape.find(Place(7, 0)) is Where.AHEAD
    tape.forget(Place(6, 0))
    assert tape.find(Place(5, 1)) is Where.BEFORE
    assert rest(tape) == [b"b"]


def test_what_comes_before_the_first_mark_is_not_ours() -> None:
    tape = Tape(100)
    tape.add(b"a")
    assert tape.oldest(1, 1) is None
    assert Place.parse(b"") is None
    assert Place.parse(str(Place(3, 9)).encode()) == Place(3, 9)
