"""What a bridge's rate limit and circuit breaker make of its conditions."""

import json
from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.reconcile.limits import HELD_SECONDS, limits, questions
from headrace.reconcile.snapshot import Numbers, Snapshot
from tests.unit.reconcile.bodies import DEAD, INPUTS, body, live, message, plan, pulsar_as_wanted, resource, states

NOW = 1_795_000_000
OPEN = json.dumps({"failures": 7, "opened_at": NOW - 3.5, "probes": 0, "error": "ResponseError: WRONGTYPE"}).encode()
FAILED_ONCE = json.dumps({"failures": 1, "opened_at": None, "probes": 0, "error": ""}).encode()


def limited() -> dict[str, Any]:
    return body("PulsarBridge", circuitBreaker={"openSeconds": 60}, rateLimit={"perSecond": 500})


def bridge() -> PulsarBridge:
    made = resource(limited())
    assert isinstance(made, PulsarBridge)
    return made


def held(seconds_ago: float) -> bytes:
    return str(int((NOW - seconds_ago) * 1000)).encode()


def test_pods_are_asked_for_what_the_spec_has() -> None:
    assert questions(bridge(), "p") == [("HMGET", "p:breaker", "valkey", DEAD), ("HGET", "p:rate", "held"), ("TIME",)]
    plain = resource(body("PulsarBridge"))
    assert isinstance(plain, PulsarBridge)
    assert questions(plain, "p") == []
    assert limits(plain, []) == {}


@pytest.mark.parametrize(
    ("answers", "circuits", "is_limited"),
    [
        ([[OPEN, FAILED_ONCE], held(3), (NOW, 0)], (("valkey", "ResponseError: WRONGTYPE"),), True),
        ([[None, OPEN], held(HELD_SECONDS + 1), (NOW, 0)], ((DEAD, "ResponseError: WRONGTYPE"),), False),
        ([[None, None], None, (NOW, 0)], (), False),
        ([[b"rubbish", b"[]"], b"rubbish", (NOW, 0)], (), None),
        ([None, None, None], None, None),
    ],
)
def test_p7_answers_are_read_whatever_they_are(answers: list[Any], circuits: Any, is_limited: bool | None) -> None:
    assert limits(bridge(), answers) == {"open_circuits": circuits, "rate_limited": is_limited}


def judged(numbers: Numbers, made: dict[str, Any] | None = None) -> Any:
    made = made or limited()
    return plan(Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted(), numbers=numbers))


def test_p5_an_open_circuit_shows_and_changes_nothing() -> None:
    made = judged(Numbers(open_circuits=(("valkey", "ResponseError: WRONGTYPE"),), rate_limited=False))
    assert states(made)["DestinationReady"] == ("False", "CircuitOpen")
    assert states(made)["Ready"] == ("False", "CircuitOpen")
    assert "Stalled" not in states(made)
    assert "WRONGTYPE. It is tried again every 60 s" in message(made, "DestinationReady")
    assert not made.writes


def test_a_rate_limit_that_holds_messages_back_keeps_nothing_from_being_ready() -> None:
    made = judged(Numbers(open_circuits=(), rate_limited=True))
    assert states(made)["RateLimited"] == ("True", "LimitReached")
    assert states(made)["DestinationReady"] == ("True", "Succeeded")
    assert states(made)["Ready"] == ("True", "Succeeded")
    assert states(judged(Numbers(open_circuits=(), rate_limited=False)))["RateLimited"] == ("False", "BelowLimit")


def test_p3_the_same_answers_write_nothing() -> None:
    numbers = Numbers(open_circuits=(("valkey", "no"),), rate_limited=True)
    first = judged(numbers)
    again = judged(numbers, {**limited(), "status": first.status})
    assert not again.writes
    assert again.events == ()
    assert again.status == first.status


def test_what_is_not_known_or_not_asked_for_is_not_said() -> None:
    assert {"DestinationReady", "RateLimited"}.isdisjoint(states(judged(Numbers())))
    suspended = {**limited(), "spec": {**limited()["spec"], "suspend": True}}
    assert "DestinationReady" not in states(judged(Numbers(open_circuits=(("valkey", "no"),)), suspended))
