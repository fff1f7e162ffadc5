"""The demo's Celery app: how late was a flight, and what was the weather when it should have left?"""

# mypy: allow-untyped-calls, allow-untyped-decorators

import csv
import functools
import json
import os
from pathlib import Path
from typing import Any

import valkey
from celery import Celery

from headrace.tasks import Refused

WEATHER_FILE = Path(os.environ.get("WEATHER_FILE", Path(__file__).parent / "data" / "weather.csv"))
WEATHER_LIVES_SECONDS = 3600
ON_TIME_MINUTES = 15
"""A flight less late than this is on time, says the US Department of Transportation."""
MAJOR_DELAY_MINUTES = 60

app = Celery("flights")


@app.task(name="flights.classify")
def classify(flight: dict[str, Any]) -> dict[str, Any]:
    """Turn a flight into a result; refuse one that never left (it goes to the dead-letter topic)."""
    if flight["dep_time"] is None:
        raise Refused(f"{flight['carrier']} {flight['flight']} from {flight['origin']} was cancelled")
    weather = hour_of_weather(flight["origin"], flight["time_hour"])
    return {
        "event_id": flight["event_id"],
        "carrier": flight["carrier"],
        "origin": flight["origin"],
        "dest": flight["dest"],
        "delay_minutes": flight["dep_delay"],
        "delay": delay_class(flight["dep_delay"]),
        "weather": weather_class(weather),
        "temperature_fahrenheit": number(weather, "temp"),
        "wind_miles_per_hour": number(weather, "wind_speed"),
    }


def delay_class(minutes: int) -> str:
    """Name a delay at departure."""
    if minutes < ON_TIME_MINUTES:
        return "on time"
    return "minor" if minutes < MAJOR_DELAY_MINUTES else "major"


def weather_class(weather: dict[str, str]) -> str:
    """Name the weather that matters most to a flight; `unknown` where the station reported nothing."""
    visible_miles, rain_inches = number(weather, "visib"), number(weather, "precip")
    if visible_miles is None or rain_inches is None:
        return "unknown"
    if visible_miles < 3:
        return "low visibility"
    if rain_inches > 0:
        return "rain or snow"
    return "windy" if (number(weather, "wind_speed") or 0) >= 20 else "fair"


def number(weather: dict[str, str], column: str) -> float | None:
    """Read one measurement."""
    text = weather.get(column, "NA")
    return None if text == "NA" else float(text)


def hour_of_weather(airport: str, hour: str) -> dict[str, str]:
    """Look an hour's weather up in Valkey; only the first task of that hour reads it from the file."""
    key = f"weather:{airport}:{hour}"
    cached = cache().get(key)
    if cached is not None:
        return dict(json.loads(cached))
    weather = weather_file().get((airport, hour), {})
    cache().set(key, json.dumps(weather), ex=WEATHER_LIVES_SECONDS)
    return weather


@functools.cache
def cache() -> Any:
    """Return this process's connection to the cache, made when the first task needs it (so after the fork)."""
    return valkey.Valkey.from_url(os.environ["WEATHER_CACHE_URL"], socket_timeout=5)


@functools.cache
def weather_file() -> dict[tuple[str, str], dict[str, str]]:
    """Read the weather of the year: 26,115 hours at three airports."""
    with WEATHER_FILE.open(newline="") as lines:
        return {(row["origin"], row["time_hour"]): row for row in csv.DictReader(lines)}
