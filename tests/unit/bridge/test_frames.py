"""Cuts become the same frames each time, and each entry lands in exactly one."""

import itertools
import json
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headrace.api.bridge_sink import Envelope
from headrace.bridge.cut import Cut
from headrace.bridge.frame import frames, without
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.bridge.sharding import java_string_hash

SINK, DEAD = "persistent://a/b/c", "persistent://a/b/c-DLQ"
keyed = st.fixed_dictionaries({"id": st.text(min_size=1, max_size=5)}).map(json.dumps).map(str.encode)
entries = st.lists(st.one_of(keyed, st.binary(max_size=20)), min_size=1, max_size=50)


def cut(found: list[bytes], partitions: int, key: str | None = "id", first: int = 1) -> Cut:
    routing = Routing(Target(SINK, partitions), Target(DEAD, 0), EntryFormat.RAW, key, "PulsarBridge/n/b")
    return Cut(first, routing, 0, False, found)


@given(entries, st.integers(0, 7), st.integers(1, 10_000))
def test_p1_p2_each_entry_lands_once_and_a_replay_is_identical(found: list[bytes], partitions: int, first: int) -> None:
    made = cut(found, partitions, first=first)
    replayed = Cut(made.first, Routing.parse(made.routing.to_wire()), 0, True, made.entries)
    parts = frames(made)
    assert parts == frames(replayed)
    ids = sorted(sequence_id for part in parts for sequence_id, _ in part.messages)
    assert ids == list(range(first, first + len(found)))
    for part in parts:
        assert part.messages == sorted(part.messages, key=lambda pair: pair[0])
        for sequence_id, message in part.messages:
            assert message.payload == found[sequence_id - first]
            assert part.batched == (message.reason is None)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=50), st.integers(0, 7), st.integers(1, 10_000))
def test_p1_p2_the_short_way_for_plain_entries_comes_to_the_same(
    found: list[bytes], partitions: int, first: int
) -> None:
    made = cut(found, partitions, key=None, first=first)
    made = replace(made, routing=replace(made.routing, limit_bytes=1124))  # some of them are too large
    assert frames(made) == frames(made, {-1})


@given(st.lists(keyed, min_size=1, max_size=50), st.integers(2, 7))
def test_a_key_stays_on_its_partition(found: list[bytes], partitions: int) -> None:
    for part in frames(cut(found, partitions)):
        for _, message in part.messages:
            assert message.key is not None
            assert part.topic == f"{SINK}-partition-{java_string_hash(message.key) % partitions}"


def test_without_a_key_a_cut_goes_to_one_partition_and_cuts_are_spread() -> None:
    # first ids of full cuts, whatever their size, and of single messages
    for size in (1, 1000, 4000):
        counts: Counter[str] = Counter()
        for number in range(120):
            [part] = frames(cut([b"a", b"b"], 4, key=None, first=1 + number * size))
            counts[part.topic] += 1
        assert len(counts) == 4
        assert min(counts.values()) >= 20


def test_what_the_broker_was_found_not_to_take_becomes_a_dead_letter() -> None:
    sink, dead = frames(cut([b"small", b"large"], 0, key=None), {2})
    assert [message.payload for _, message in sink.messages] == [b"small"]
    [(sequence_id, message)] = dead.messages
    assert (sequence_id, message.payload, message.reason, dead.topic) == (2, b"large", "MessageTooLarge", DEAD)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sets(st.integers(1, 30)), st.integers(0, 2))
def test_large_messages_stand_between_the_batches_of_their_partition(
    sizes: list[bool], refused: set[int], partitions: int
) -> None:
    found = [json.dumps({"id": str(n % 3), "text": "x" * 3000 * large}).encode() for n, large in enumerate(sizes)]
    made = cut(found, partitions)
    made = replace(made, routing=replace(made.routing, chunking=True, limit_bytes=3000))
    parts = frames(made, refused)
    assert parts == frames(replace(made, routing=Routing.parse(made.routing.to_wire())), refused)
    for topic in {part.topic for part in parts}:
        own = [part for part in parts if part.topic == topic]
        ids = [sequence_id for part in own for sequence_id, _ in part.messages]
        assert ids == sorted(ids)
        assert all(one.way is not other.way for one, other in itertools.pairwise(own))
    for part in parts:
        for sequence_id, _ in part.messages:
            assert part.batched != (sizes[sequence_id - 1] or sequence_id in refused)
            assert not part.dead
    assert sum(len(part.messages) for part in parts) == len(sizes)


def test_keys_hash_as_java_does() -> None:
    # String.hashCode() of these, as the Java language defines it, without the sign
    assert java_string_hash("hello") == 99162322
    assert java_string_hash("") == 0
    assert java_string_hash("\U0001f600") == 1772899
    assert java_string_hash("polygenelubricants") == 0  # Integer.MIN_VALUE


def test_a_retry_letter_goes_alone_at_its_time_and_a_dead_letter_beside_it() -> None:
    retry = {"type": "RetryLetter", "payload": 1, "deliverAtMillis": 1_800_000_000_000}
    dead = {"type": "DeadLetter", "payload": 2, "reason": "WrongType", "attempts": 3}
    routing = Routing(Target(SINK, 0), Target(DEAD, 0), EntryFormat.OUTBOX, None, "PulsarBridge/n/b")
    first, second = frames(Cut(1, routing, 0, False, [json.dumps(each).encode() for each in (retry, dead)]))
    assert (first.topic, first.batched, first.dead) == (SINK, False, False)
    assert [message.deliver_at for _, message in first.messages] == [1_800_000_000_000]
    assert (second.topic, second.dead) == (DEAD, True)
    assert [message.deliver_at for _, message in second.messages] == [None]


@given(
    st.lists(st.one_of(keyed, st.binary(min_size=1, max_size=20)), min_size=1, max_size=50),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sets(st.integers(0, 49)),
    st.integers(1, 10_000),
)
def test_p1_p2_another_route_sends_what_has_not_landed_and_keeps_the_names(
    found: list[bytes], before: int, after: int, landed: set[int], moved: int
) -> None:
    made = cut(found, before, first=100)
    made = replace(made, routing=replace(made.routing, envelope=Envelope.JSON))
    places = tuple(sorted(place for place in landed if place < len(found)))
    routing = replace(made.routing, sink=Target(SINK, after), named_from=100, landed=places)
    again = Cut(100 + moved, Routing.parse(routing.to_wire()), made.made, True, made.entries)
    assert again.routing == routing
    sent = [message for part in without(frames(again), again.landed) for _, message in part.messages]
    old = {sequence_id: message for part in frames(made) for sequence_id, message in part.messages}
    expected = [old[100 + place] for place in range(len(found)) if place not in places]
    assert Counter(message.payload for message in sent) == Counter(message.payload for message in expected)
    assert not {part.cut for part in frames(again)} & {part.cut for part in frames(made)}
