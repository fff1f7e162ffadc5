import asyncio

import pytest

from headrace.controller.queue import KeyedQueue
from headrace.reconcile.kinds import Key

A, B = Key("ValkeyWorker", "shop", "a"), Key("ValkeyWorker", "shop", "b")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> KeyedQueue:
    return KeyedQueue(clock, jitter=lambda: 1.0)


async def nothing_is_due(queue: KeyedQueue) -> bool:
    """Whether nobody gets a key now."""
    try:
        async with asyncio.timeout(0.01):
            await queue.get()
    except TimeoutError:
        return True
    return False


async def test_a_key_waits_once_however_often_it_is_added(queue: KeyedQueue) -> None:
    for _ in range(3):
        queue.add(A)
    assert len(queue) == 1
    assert await queue.get() == (A, False)
    queue.done(A)
    assert await nothing_is_due(queue)


async def test_a_key_in_work_is_given_to_nobody_else_and_comes_again(queue: KeyedQueue) -> None:
    queue.add(A)
    await queue.get()
    queue.add(A)
    assert await nothing_is_due(queue)
    queue.done(A)
    assert await queue.get() == (A, False)


async def test_the_earlier_time_wins(queue: KeyedQueue, clock: Clock) -> None:
    queue.add(A, 30)
    queue.add(A, 10)
    queue.add(A, 20)
    queue.add(B, 15)
    clock.now += 10
    assert await queue.get() == (A, False)
    queue.done(A)
    assert await nothing_is_due(queue)
    clock.now += 20
    assert await queue.get() == (B, False)
    assert await nothing_is_due(queue)


async def test_a_waiting_worker_is_woken(queue: KeyedQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(B)
    assert await asyncio.wait_for(waiting, 1) == (B, False)


async def test_thorough_is_remembered_until_the_next_pass(queue: KeyedQueue) -> None:
    queue.add(A, thorough=True)
    queue.add(A)
    assert await queue.get() == (A, True)
    queue.add(A)
    queue.done(A)
    assert await queue.get() == (A, False)


async def test_failures_back_off_and_success_forgets_them(queue: KeyedQueue, clock: Clock) -> None:
    delays = []
    for _ in range(9):
        queue.add(A)
        await queue.get()
        delays.append(queue.failed(A))
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    queue.add(A)
    await queue.get()
    queue.done(A)
    clock.now += 100
    queue.add(A)
    await queue.get()
    assert queue.failed(A) == 0.5


async def test_an_event_cuts_a_backoff_short(queue: KeyedQueue) -> None:
    queue.add(A)
    await queue.get()
    queue.failed(A)
    assert await nothing_is_due(queue)
    queue.add(A)
    assert await queue.get() == (A, False)


async def test_how_long_a_pass_takes_is_known(queue: KeyedQueue, clock: Clock) -> None:
    assert queue.oldest_work() == 0
    queue.add(A)
    await queue.get()
    clock.now += 7
    assert queue.oldest_work() == 7
