"""How many messages are asked for in advance."""

from typing import Any

import pytest

from headrace.bridge.receiver_queue import MOST_BYTES, ReceiverQueue


def stats(entries: int, size: int) -> dict[str, Any]:
    return {"ledgers": [], "currentLedgerEntries": entries, "currentLedgerSize": size}


def test_small_messages_are_asked_for_up_to_the_limit() -> None:
    queue = ReceiverQueue(8000, grows=True)
    queue.learn("a", {"a": stats(1000, 250_000)})
    assert queue.open(1) == 8000
    assert not queue.observe(4000, 800_000)


@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_what_large_messages_take_is_shared_by_the_partitions(partitions: int) -> None:
    queue = ReceiverQueue(8000, grows=True)
    queue.learn("a", {f"a-partition-{number}": stats(10, 10 * 512 * 1024) for number in range(partitions)})
    assert queue.open(1) * partitions * 512 * 1024 <= MOST_BYTES
    assert not queue.observe(8, 8 * 512 * 1024)


def test_messages_that_become_large_are_asked_for_in_smaller_numbers() -> None:
    queue = ReceiverQueue(8000, grows=True)
    queue.learn("a", {"a": stats(10, 2000)})
    queue.open(1)
    assert not queue.observe(1000, 200_000)
    assert queue.observe(8, 8 * 512 * 1024)
    assert queue.open(1) == MOST_BYTES // (512 * 1024)


def test_batches_of_small_messages_make_it_grow_once() -> None:
    queue = ReceiverQueue(8000, grows=True)
    queue.learn("a", {"a": stats(10, 10 * 220_000)})
    assert queue.open(1) < 400
    assert queue.observe(300, 60_000)
    assert queue.open(1) == 8000
    assert not queue.observe(4000, 800_000)


def test_nothing_that_would_come_twice_is_asked_for_again_for_speed() -> None:
    queue = ReceiverQueue(8000, grows=False)
    queue.learn("a", {"a": stats(10, 10 * 220_000)})
    queue.open(1)
    assert not queue.observe(300, 60_000)
