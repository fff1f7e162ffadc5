"""The circuit breaker as a state machine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.policy import CircuitBreaker
from headrace.bridge.breaker import ERROR_LENGTH, Breaker, State

POLICY = CircuitBreaker(failure_threshold=3, open_seconds=30, half_open_probes=2)
NOW = 1_795_000_000.0


def failing(times: int, policy: CircuitBreaker = POLICY, now: float = NOW) -> Breaker:
    breaker = Breaker()
    for number in range(times):
        breaker = breaker.failed(policy, now, f"error {number}")
    return breaker


def test_it_opens_at_the_threshold_and_not_before() -> None:
    assert failing(2).state(POLICY, NOW) is State.CLOSED
    opened = failing(3)
    assert opened.state(POLICY, NOW) is State.OPEN
    assert opened.wait_seconds(POLICY, NOW) == 30
    assert opened.error == "error 2"


def test_a_success_in_between_starts_the_count_anew() -> None:
    assert failing(2).succeeded(POLICY).failed(POLICY, NOW, "x").state(POLICY, NOW) is State.CLOSED


def test_it_is_half_open_after_its_time_and_closes_after_enough_probes() -> None:
    opened = failing(3)
    assert opened.state(POLICY, NOW + 29.9) is State.OPEN
    assert opened.state(POLICY, NOW + 30) is State.HALF_OPEN
    once = opened.succeeded(POLICY)
    assert once.state(POLICY, NOW + 31) is State.HALF_OPEN
    assert once.succeeded(POLICY) == Breaker()


def test_a_failed_probe_opens_it_at_once_for_the_whole_time() -> None:
    again = failing(3).succeeded(POLICY).failed(POLICY, NOW + 40, "still")
    assert again.wait_seconds(POLICY, NOW + 40) == 30
    assert (again.probes, again.error) == (0, "still")


def test_what_failed_before_it_opened_does_not_prolong_it() -> None:
    assert failing(3).failed(POLICY, NOW + 10, "late") == failing(3)


@pytest.mark.parametrize("shift", [-86_400, 86_400])
def test_a_clock_that_jumps_does_not_keep_it_open(shift: float) -> None:
    assert failing(3).wait_seconds(POLICY, NOW + shift) == 0


@pytest.mark.parametrize(
    "wire", [b"", b"x", b"[]", b"7", b"{}", b'{"failures": "x"}', b'{"failures":1,"opened_at":[]}']
)
def test_p7_what_somebody_else_wrote_counts_as_nothing(wire: bytes) -> None:
    assert Breaker.parse(wire) == Breaker()


POLICIES = st.builds(
    CircuitBreaker,
    failure_threshold=st.integers(1, 6),
    open_seconds=st.integers(1, 100),
    half_open_probes=st.integers(1, 4),
)
EVENTS = st.lists(st.tuples(st.sampled_from(["fail", "succeed", "pass"]), st.floats(0, 60)), max_size=60)


@given(POLICIES, EVENTS)
def test_whatever_happens_it_keeps_its_word(policy: CircuitBreaker, events: list[tuple[str, float]]) -> None:
    breaker, now, in_a_row = Breaker(), NOW, 0
    for event, seconds in events:
        now += seconds
        before = breaker.state(policy, now)
        if event == "fail":
            breaker, in_a_row = breaker.failed(policy, now, "e" * 1000), in_a_row + 1
            assert breaker.state(policy, now) is not State.HALF_OPEN
            assert before is State.CLOSED or breaker.state(policy, now) is State.OPEN
        elif event == "succeed":
            breaker, in_a_row = breaker.succeeded(policy), 0
            assert breaker.state(policy, now) in (before, State.CLOSED)
        state = breaker.state(policy, now)
        if before is State.CLOSED:
            assert (state is State.CLOSED) == (in_a_row < policy.failure_threshold)
        assert 0 <= breaker.wait_seconds(policy, now) <= policy.open_seconds
        assert (breaker.wait_seconds(policy, now) > 0) == (state is State.OPEN)
        assert len(breaker.error) <= ERROR_LENGTH
        assert Breaker.parse(breaker.to_wire()) == breaker
    # left alone it lets probes through, and those close it
    later = now + policy.open_seconds
    for _ in range(policy.half_open_probes):
        assert breaker.state(policy, later) is not State.OPEN
        breaker = breaker.succeeded(policy)
    assert breaker == Breaker()
    assert replace(breaker).to_wire() == b""
