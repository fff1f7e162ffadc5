"""Resources that take from one source."""

from typing import Any

import pytest

from headrace.reconcile.sharing import sharers_of, sharing_findings
from headrace.reconcile.snapshot import Snapshot
from tests.unit.reconcile.bodies import INPUTS, body, live, message, plan, pulsar_as_wanted, states
from tests.unit.reconcile.test_circle import bridge, key

SINK = {"valkey": {"list": {"key": "sink"}}}


def topics(subscription: str = "s", **source: Any) -> dict[str, Any]:
    return {"pulsar": {"subscription": subscription, **source}}


def worker(name: str, **spec: Any) -> dict[str, Any]:
    made = {"valkey": {"url": "valkey://valkey:6379/0"}, **spec}
    return {"kind": "ValkeyWorker", "metadata": {"name": name, "namespace": "n"}, "spec": made}


X = "persistent://a/b/x"
SHARDED = {"valkey": {"list": {"key": "orders"}, "shards": 4}}
FULL = {"valkey": {"url": "valkey://valkey.n.svc.cluster.local"}, "pulsar": {"serviceUrl": "pulsar://pulsar.n.svc"}}


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (topics(topic=X), topics(topics=["persistent://a/b/y", f"{X}-partition-1"]), "the subscription s of the topic"),
        (topics(topic=X), topics(topicsPattern="persistent://a/b/.*"), "the subscription s of the topic"),
        (topics(topicsPattern="persistent://a/b/.*"), topics(topic=X), "the subscription s of the topics"),
        (key("orders"), key("orders"), "the list orders"),
        (SHARDED, key("orders:3"), "the list orders:3"),
        (key("orders", "stream"), {"valkey": {"stream": {"key": "orders", "group": "headrace"}}}, "the group headrace"),
    ],
)
def test_p8_two_bridges_with_one_source_are_told_on_both(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    first, second = bridge("1", one, SINK), bridge("2", other, SINK, "m", **FULL)
    [(name, source)] = sharers_of(first, [first, second])
    assert (name, source[: len(what)]) == ("PulsarBridge m/2", what)
    assert [name for name, _ in sharers_of(second, [first, second])] == ["PulsarBridge n/1"]


@pytest.mark.parametrize(
    "other",
    [
        bridge("2", topics(topic=X), SINK, suspend=True),
        bridge("2", topics("t", topic=X), SINK),
        bridge("2", topics(topic=f"{X}y"), SINK),
        bridge("2", topics(topicsPattern="("), SINK),
        bridge("2", topics(topic=X), SINK, "m"),  # its pulsar is another
        bridge("1", topics(topic=X), SINK),  # itself
        {"kind": "PulsarBridge", "metadata": 5, "spec": {"source": {"pulsar": {"subscription": "s", "topics": 7}}}},
        {},
    ],
)
def test_p7_what_is_no_common_source_is_not_told(other: dict[str, Any]) -> None:
    assert sharers_of(bridge("1", topics(topic=X), SINK), [other]) == ()


@pytest.mark.parametrize(
    ("source", "taker", "told"),
    [
        (key("orders"), worker("w", polling={"list": {"key": "orders"}}), True),
        (key("celery"), worker("w", celery={"app": "a:b"}), True),
        (key("orders"), worker("w", celery={"app": "a:b", "queues": [{"name": "orders"}]}), True),
        (key("orders"), worker("w", celery={"broker": {"type": "SQS"}, "queues": [{"name": "orders"}]}), False),
        (key("orders", "stream"), worker("w", stream={"key": "orders"}), True),
        (key("orders", "stream"), worker("w", stream={"key": "orders", "group": "own"}), False),
        (key("results"), worker("w", outbox={"key": "results"}), False),
    ],
)
def test_p8_a_worker_that_takes_from_a_bridges_source_is_told(
    source: dict[str, Any], taker: dict[str, Any], told: bool
) -> None:
    assert bool(sharers_of(bridge("1", source, SINK), [taker])) is told
    assert sharers_of(taker, [bridge("1", source, SINK)]) == () or told


def test_the_condition_is_a_warning_and_stands_only_while_there_is_another() -> None:
    made = body("PulsarBridge")
    sharers = (("PulsarBridge m/2", "the list orders"),)
    shared = plan(Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted(), sharers=sharers))
    assert states(shared)["SourceExclusive"] == ("False", "SourceShared")
    assert states(shared)["Ready"] == ("True", "Succeeded")
    assert "PulsarBridge m/2 takes from the list orders too" in message(shared, "SourceExclusive")
    assert sharing_findings(()) == []
