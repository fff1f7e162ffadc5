"""The demo's events: real, each with an id of its own, in the order of time."""

import itertools
import random
from typing import Any

import pytest

from demo import data
from demo.app.producer import SENT_AGAIN_WITHIN, with_duplicates

DEFAULT_EVENTS = 20_000


@pytest.fixture(scope="module")
def flights() -> list[dict[str, Any]]:
    return list(data.events())


def test_every_flight_of_the_year_has_an_id_of_its_own(flights: list[dict[str, Any]]) -> None:
    assert len(flights) == data.FLIGHTS
    assert len({flight["event_id"] for flight in flights}) == data.FLIGHTS


def test_events_are_in_the_order_of_time(flights: list[dict[str, Any]]) -> None:
    moments = [(flight["time_hour"], flight["minute"]) for flight in flights]
    assert moments == sorted(moments)


def test_an_event_is_the_flight_as_it_is_with_an_id(flights: list[dict[str, Any]]) -> None:
    assert flights[0] == {
        "event_id": "2013-01-01T05:15-UA-1545-EWR",
        "year": 2013,
        "month": 1,
        "day": 1,
        "dep_time": 517,
        "sched_dep_time": 515,
        "dep_delay": 2,
        "arr_time": 830,
        "sched_arr_time": 819,
        "arr_delay": 11,
        "carrier": "UA",
        "flight": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "air_time": 227,
        "distance": 1400,
        "hour": 5,
        "minute": 15,
        "time_hour": "2013-01-01T10:00:00Z",
    }


@pytest.mark.parametrize(("events", "cancelled"), [(100, 1), (1_000, 4), (DEFAULT_EVENTS, 187)])
def test_real_cancelled_flights_are_among_the_first(flights: list[dict[str, Any]], events: int, cancelled: int) -> None:
    assert sum(flight["dep_time"] is None for flight in flights[:events]) == cancelled


def test_one_in_a_hundred_is_sent_twice_and_always_the_same_ones() -> None:
    lines = [str(number).encode() for number in range(DEFAULT_EVENTS + 1)]
    sent = list(with_duplicates(iter(lines), DEFAULT_EVENTS))
    assert len(sent) == 20_200
    assert set(sent) == set(lines[:DEFAULT_EVENTS])
    assert sent == list(with_duplicates(iter(lines), DEFAULT_EVENTS))
    firsts = list(dict.fromkeys(sent))
    assert firsts == lines[:DEFAULT_EVENTS]


def test_the_second_copy_follows_soon_and_never_comes_first() -> None:
    generator = random.Random(7)
    for events in (1, 99, 100, 250, generator.randint(1_000, 5_000)):
        lines = [str(number).encode() for number in range(events)]
        places: dict[bytes, list[int]] = {}
        for place, line in enumerate(with_duplicates(iter(lines), events)):
            places.setdefault(line, []).append(place)
        again = [pair for pair in places.values() if len(pair) > 1]
        assert len(again) == events // 100
        # other second copies may lie between the two
        assert all(later - first <= 2 * SENT_AGAIN_WITHIN for first, later in again)


def test_fewer_lines_than_wanted_lose_no_second_copy() -> None:
    lines = [str(number).encode() for number in range(100)]
    sent = list(itertools.chain(with_duplicates(iter(lines), 100)))
    assert len(sent) == 101
