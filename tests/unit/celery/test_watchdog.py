"""When a worker counts as deaf."""

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.celery.watchdog import HOUR_SECONDS, RESTARTS_PER_HOUR, Remedy, Watchdog


class Clock:
    """Looks every five seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.watchdog = Watchdog(patience_seconds=30, period_seconds=5)

    def look(self, *, after: float = 5, **changes: Any) -> Remedy | None:
        self.now += after
        facts: dict[str, Any] = {"waiting": 1, "held": 0, "taken": 0, "connected": True, **changes}
        return self.watchdog.look(self.now, **facts)

    def until(self, seconds: float = 31) -> Remedy | None:
        """The first remedy within so many seconds."""
        for _ in range(int(seconds // 5) + 1):
            if remedy := self.look():
                return remedy
        return None


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()  # type: ignore[return-value]


def test_connects_anew_then_starts_anew(clock: Clock) -> None:
    assert clock.until(20) is None
    assert clock.watchdog.idle_seconds > 0
    assert clock.until() is Remedy.CONSUMER
    assert clock.watchdog.idle_seconds == 0
    assert clock.until() is Remedy.PROCESS


@pytest.mark.parametrize("fact", [{"waiting": 0}, {"held": 1}, {"taken": 7}, {"connected": False}])
def test_p5_one_sign_that_all_is_well_begins_the_count_anew(clock: Clock, fact: dict[str, Any]) -> None:
    for _ in range(20):
        assert clock.until(20) is None
        assert clock.look(**fact) is None
        assert clock.watchdog.idle_seconds == 0
        assert clock.look(waiting=0) is None


def test_a_process_that_stood_still_itself_is_not_blamed_for_the_gap(clock: Clock) -> None:
    clock.look()
    assert clock.look(after=3000) is None
    assert clock.watchdog.idle_seconds == 10


def test_a_connection_that_heals_it_each_time_is_tried_so_often_in_an_hour(clock: Clock) -> None:
    remedies = []
    for taken in range(RESTARTS_PER_HOUR + 1):
        clock.look(taken=taken)
        clock.watchdog.look(clock.now, waiting=0, held=0, taken=0, connected=True)
        remedies.append(clock.until())
    assert remedies == [Remedy.CONSUMER] * RESTARTS_PER_HOUR + [Remedy.PROCESS]
    clock.look(after=HOUR_SECONDS, taken=99)
    clock.look()
    assert clock.until() is Remedy.CONSUMER
