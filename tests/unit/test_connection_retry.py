"""When a broker that is away is tried again."""

import pytest

from headrace.process.connection_retry import (
    EXHAUSTED,
    BadConnectionRetryError,
    ConnectionRetry,
    Growth,
    from_environment,
)
from headrace.process.stop import Backoff


def waits(retry: ConnectionRetry, number: int = 6) -> list[float]:
    return [retry.longest_seconds(failures, 0.2, 5.0) for failures in range(number)]


def test_each_place_has_its_own_waits_when_nothing_is_set() -> None:
    assert from_environment({}) == ConnectionRetry()
    assert waits(ConnectionRetry()) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert waits(ConnectionRetry(), 2000)[-1] == 5.0


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("Linear", [1.0, 2.0, 3.0, 3.5]),
        ("exponential", [1.0, 2.0, 3.5, 3.5]),
    ],
)
def test_the_environment_says_how_the_waits_grow(growth: str, expected: list[float]) -> None:
    variables = {
        "VAPI_RETRY_BACKOFF_TYPE": growth,
        "VAPI_RETRY_BACKOFF_BASE": "1",
        "VAPI_RETRY_BACKOFF_CAP": "3.5",
        "VAPI_RETRY_ATTEMPTS": "7",
    }
    retry = from_environment(variables)
    assert waits(retry, 4) == expected
    assert retry.attempts == 7


def test_a_base_above_a_places_own_cap_counts() -> None:
    assert waits(from_environment({"VAPI_RETRY_BACKOFF_BASE": "20"}), 2) == [20.0, 20.0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAPI_RETRY_ATTEMPTS", "0"),
        ("VAPI_RETRY_ATTEMPTS", "often"),
        ("VAPI_RETRY_BACKOFF_TYPE", "fibonacci"),
        ("VAPI_RETRY_BACKOFF_BASE", "0"),
        ("VAPI_RETRY_BACKOFF_BASE", "nan"),
        ("VAPI_RETRY_BACKOFF_CAP", "3600"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadConnectionRetryError, match=name):
        from_environment({name: value})


def test_a_cap_below_the_base_is_refused() -> None:
    with pytest.raises(BadConnectionRetryError, match="must not be less"):
        from_environment({"VAPI_RETRY_BACKOFF_BASE": "5", "VAPI_RETRY_BACKOFF_CAP": "2"})


def test_p5_attempts_that_are_used_up_begin_anew_and_are_counted() -> None:
    before = EXHAUSTED._value.get()
    backoff = Backoff(retry=ConnectionRetry(3, Growth.EXPONENTIAL, 1.0, 60.0))
    seconds = [backoff.next_seconds() for _ in range(7)]
    for wait, ceiling in zip(seconds, [1, 2, 4, 1, 2, 4, 1], strict=True):
        assert ceiling / 2 <= wait <= ceiling
    assert EXHAUSTED._value.get() == before + 2
