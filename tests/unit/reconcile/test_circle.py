"""Messages that bridges give to each other in a circle."""

from typing import Any

import pytest

from headrace.reconcile.circle import circle_findings, circle_of

PULSAR, VALKEY = "pulsar://pulsar:6650", "valkey://valkey:6379/0"


def bridge(
    name: str, source: dict[str, Any], sink: dict[str, Any], namespace: str = "n", **changes: Any
) -> dict[str, Any]:
    spec = {"source": source, "sink": sink, "pulsar": {"serviceUrl": PULSAR}, "valkey": {"url": VALKEY}, **changes}
    return {"kind": "PulsarBridge", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def topic(name: str) -> dict[str, Any]:
    return {"pulsar": {"topic": f"persistent://a/b/{name}"}}


def key(name: str, kind: str = "list") -> dict[str, Any]:
    return {"valkey": {kind: {"queue" if kind == "celery" else "key": name}}}


OUT, BACK = bridge("out", key("orders"), topic("x")), bridge("back", topic("x"), key("orders"))


def test_two_bridges_that_feed_each_other_are_told_by_name() -> None:
    assert circle_of(OUT, [OUT, BACK]) == ("n/out", "n/back", "n/out")
    assert circle_of(BACK, [OUT]) == ("n/back", "n/out", "n/back")
    [finding] = circle_findings(circle_of(OUT, [BACK]))
    assert (finding.type, finding.status, finding.reason) == ("MessagesEnd", "False", "MessagesCircle")
    assert "n/out -> n/back -> n/out" in finding.message
    assert circle_findings(circle_of(OUT, [OUT])) == []


@pytest.mark.parametrize(
    "other",
    [
        bridge("back", topic("x"), key("orders"), suspend=True),
        bridge("back", topic("x"), key("orders"), deduplicate={"key": "id"}),
        bridge("back", topic("x"), key("orders"), namespace="m"),  # its pulsar and its valkey are others
        bridge("back", topic("x"), key("orders"), valkey={"url": "valkey://valkey:6379/1"}),
        bridge("back", topic("x"), key("orders", "celery"), pulsar={"serviceUrl": "pulsar://other:6650"}),
        bridge("back", topic("y"), key("orders")),
        bridge("back", topic("x"), key("others")),
        {"metadata": [], "spec": {"source": 7, "sink": {"valkey": {"list": "x"}}}},
    ],
)
def test_what_is_no_circle_is_not_told(other: dict[str, Any]) -> None:
    assert circle_of(OUT, [other]) == ()


def test_a_circle_by_way_of_several_kinds_is_found_and_one_beside_is_none_of_ours() -> None:
    several = {"pulsar": {"topics": ["persistent://a/b/z", "persistent://a/b/y-partition-2"]}}
    full: dict[str, Any] = {
        "pulsar": {"serviceUrl": "pulsar://p.example:6650"},
        "valkey": {"url": "valkey://v.example:6379"},
    }
    first = bridge("1", key("s", "stream"), topic("x"), **full)
    second = bridge("2", topic("x"), {"valkey": {"pubSub": {"channel": "c"}}}, "m", **full)
    third = bridge("3", {"valkey": {"pubSub": {"channels": ["d", "c"]}}}, topic("y"), **full)
    fourth = bridge("4", several, key("s", "stream"), **full)
    ring = [first, second, third, fourth]
    assert circle_of(first, ring) == ("n/1", "m/2", "n/3", "n/4", "n/1")
    feeder = bridge("5", key("q"), topic("x"), **full)
    assert circle_of(feeder, [*ring, feeder]) == ()


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"source": {"pulsar": {"topics": 3}}}}, {"metadata": 5}])
def test_p7_a_body_of_any_shape_is_looked_at(body: dict[str, Any]) -> None:
    assert circle_of(body, [body, OUT]) == ()
    assert circle_of(OUT, [body]) == ()
