"""The demo's Celery app on a real Valkey."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import data
from demo.app import flights
from headrace.tasks import Refused
from testbed.valkey import Valkey

HOUR = "2013-01-01T10:00:00Z"


@pytest.fixture
def server(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """A Valkey as the weather's cache, and the year's real weather as the file."""
    monkeypatch.setenv("WEATHER_CACHE_URL", valkey.url)
    monkeypatch.setattr(flights, "WEATHER_FILE", data.package_folder() / "weather.csv")
    flights.cache.cache_clear()
    yield valkey
    flights.cache().close()
    flights.cache.cache_clear()
    flights.weather_file.cache_clear()


def flight(**changes: Any) -> dict[str, Any]:
    return {
        "event_id": "2013-01-01T05:15-UA-1545-EWR",
        "dep_time": 517,
        "dep_delay": 2,
        "carrier": "UA",
        "flight": 1545,
        "origin": "EWR",
        "dest": "IAH",
        "time_hour": HOUR,
    } | changes


def test_a_flight_gets_the_weather_of_its_hour(server: Valkey) -> None:
    assert flights.classify(flight()) == {
        "event_id": "2013-01-01T05:15-UA-1545-EWR",
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
        "delay_minutes": 2,
        "delay": "on time",
        "weather": "fair",
        "temperature_fahrenheit": 39.02,
        "wind_miles_per_hour": 12.658579999999999,
    }


def test_the_weather_of_an_hour_is_read_from_the_file_once(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = flights.classify(flight())
    with server.client() as client:
        key = f"weather:EWR:{HOUR}"
        assert json.loads(client.get(key) or "")["temp"] == "39.02"
        assert 0 < client.ttl(key) <= flights.WEATHER_LIVES_SECONDS
    monkeypatch.setattr(flights, "WEATHER_FILE", tmp_path / "gone.csv")
    flights.weather_file.cache_clear()
    assert flights.classify(flight()) == first


def test_an_hour_without_a_report_is_unknown(server: Valkey) -> None:
    result = flights.classify(flight(time_hour="2013-12-31T23:59:59Z"))
    assert (result["weather"], result["temperature_fahrenheit"]) == ("unknown", None)


def test_a_cancelled_flight_is_refused_with_a_sentence() -> None:
    with pytest.raises(Refused, match=r"^UA 1545 from EWR was cancelled$"):
        flights.classify(flight(dep_time=None, dep_delay=None))


@pytest.mark.parametrize(
    ("minutes", "name"), [(-10, "on time"), (14, "on time"), (15, "minor"), (59, "minor"), (60, "major")]
)
def test_delays_have_names(minutes: int, name: str) -> None:
    assert flights.delay_class(minutes) == name


def test_all_weather_of_the_year_has_a_name() -> None:
    with (data.package_folder() / "weather.csv").open(newline="") as lines:
        names = {flights.weather_class(row) for row in csv.DictReader(lines)}
    assert names == {"fair", "windy", "rain or snow", "low visibility"}
