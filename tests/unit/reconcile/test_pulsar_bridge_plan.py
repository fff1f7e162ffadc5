from dataclasses import replace

import pytest

from headrace.api.topic import InitialPosition
from headrace.pulsar.errors import AuthenticationFailedError, PulsarUnreachableError
from headrace.pulsar.facts import PulsarFacts, TopicFacts
from headrace.pulsar.plan import CreateSubscription, CreateTopic
from headrace.reconcile.snapshot import Numbers, Snapshot
from tests.unit.reconcile.bodies import DEAD, EVENTS, INPUTS, body, kinds, live, message, plan, pulsar_as_wanted, states


def test_no_deployment_before_topics_and_subscriptions_stand() -> None:
    facts = pulsar_as_wanted()
    bare = replace(facts, topics={DEAD: facts.topics[DEAD]})
    made = plan(Snapshot(body("PulsarBridge"), INPUTS, pulsar=bare))
    assert [type(action) for action in made.pulsar] == [CreateTopic, CreateSubscription]
    assert kinds(made) == ["ConfigMap", "Service"]
    assert states(made)["TopicsReady"] == ("Unknown", "Progressing")
    assert "create topic" in message(made, "TopicsReady")
    assert states(made)["Ready"] == ("Unknown", "Progressing")
    ready = plan(Snapshot(body("PulsarBridge"), INPUTS, pulsar=facts))
    assert kinds(ready) == ["ConfigMap", "Service", "Deployment"]


def test_p3_a_converged_bridge_writes_nothing() -> None:
    made = body("PulsarBridge")
    first = plan(Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted()))
    assert states(first)["Ready"] == ("True", "Succeeded")
    settled = plan(Snapshot({**made, "status": first.status}, INPUTS, live(made), pulsar=pulsar_as_wanted()))
    assert not settled.writes
    assert settled.events == ()
    assert settled.status == first.status


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (PulsarUnreachableError("Pulsar's admin API at http://pulsar:8080 does not answer"), "PulsarUnreachable"),
        (AuthenticationFailedError("refused"), "AuthenticationFailed"),
    ],
)
def test_p5_a_broken_pulsar_starts_nothing_and_stops_nothing(problem: Exception, reason: str) -> None:
    made = body("PulsarBridge")
    new = plan(Snapshot(made, INPUTS, problems=(problem,)))
    assert "Deployment" not in kinds(new)
    assert states(new)["Ready"] == ("False", reason)
    assert states(new)["TopicsReady"] == ("Unknown", "Progressing")
    running = plan(Snapshot(made, INPUTS, live(made), problems=(problem,)))
    assert not running.writes
    assert states(running)["WorkloadReady"][0] == "True"


def test_a_running_bridge_follows_its_spec_while_pulsar_is_away() -> None:
    scaled = body("PulsarBridge", generation=2, replicas=3)
    made = plan(Snapshot(scaled, INPUTS, live(body("PulsarBridge")), problems=(PulsarUnreachableError("away"),)))
    assert "Deployment" in kinds(made)


def test_a_missing_namespace_says_what_to_write() -> None:
    made = plan(Snapshot(body("PulsarBridge"), INPUTS, pulsar=PulsarFacts(clusters=("standalone",))))
    assert states(made)["Ready"] == ("False", "NamespaceNotFound")
    assert "create it, or list it under spec.namespaces" in message(made)
    assert "Deployment" not in kinds(made)


def test_a_sink_that_does_not_deduplicate_keeps_the_bridge_from_starting() -> None:
    sink = "persistent://shop/orders/theirs"
    bridge = body(
        "PulsarBridge",
        source={"valkey": {"list": {"key": "orders"}}},
        sink={"pulsar": {"topic": sink}},
    )
    facts = replace(pulsar_as_wanted(), topics={sink: TopicFacts(exists=True)})
    made = plan(Snapshot(bridge, INPUTS, pulsar=facts))
    assert states(made)["Ready"] == ("False", "DeduplicationDisabled")
    assert states(made)["Stalled"] == ("True", "DeduplicationDisabled")
    assert "Deployment" not in kinds(made)
    assert sink not in [getattr(action, "topic", None) for action in made.pulsar]
    bridge["spec"]["delivery"] = {"guarantee": "AtLeastOnce"}
    assert states(plan(Snapshot(bridge, INPUTS, pulsar=facts)))["Ready"] != ("False", "DeduplicationDisabled")


def test_the_status_lists_topics_and_who_made_them() -> None:
    numbers = Numbers(backlog=5, dead_letters=1, consumers=2)
    made = body("PulsarBridge")
    known = plan(Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted(), numbers=numbers))
    assert known.status["topics"] == [
        {"name": EVENTS, "partitions": 0, "ownership": "Existing"},
        {"name": DEAD, "partitions": 0, "ownership": "Created"},
    ]
    fields = ("direction", "backlog", "deadLetters", "consumers")
    assert [known.status[name] for name in fields] == ["PulsarToValkey", 5, 1, 2]
    away = {**made, "status": known.status}
    blind = plan(Snapshot(away, INPUTS, live(made), problems=(PulsarUnreachableError("away"),)))
    assert blind.status["topics"] == known.status["topics"]


def test_a_suspended_bridge_keeps_its_topics() -> None:
    made = body("PulsarBridge", suspend=True)
    suspended = plan(Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted()))
    assert states(suspended)["Ready"] == ("True", "Suspended")
    assert suspended.pulsar == ()


def test_p1_the_status_remembers_subscriptions_and_one_that_goes_is_made_again_at_the_beginning() -> None:
    source = {"pulsar": {"topic": EVENTS, "subscription": "pricing", "initialPosition": "Latest"}}
    facts = pulsar_as_wanted()
    made = body("PulsarBridge", source=source)
    known = plan(Snapshot(made, INPUTS, live(made), pulsar=facts))
    remembered = {"topic": EVENTS, "name": "pricing"}
    assert remembered in known.status["subscriptions"]
    made["status"] = known.status
    gone = replace(facts, topics={**facts.topics, EVENTS: TopicFacts(exists=True)})
    for there in (gone, replace(facts, topics={DEAD: facts.topics[DEAD]})):  # the topic may have gone with it
        again = plan(Snapshot(made, INPUTS, live(made), pulsar=there))
        assert CreateSubscription(EVENTS, "pricing", InitialPosition.EARLIEST, again=True) in again.pulsar
        assert [each.type for each in again.events if each.reason == "SubscriptionGone"] == ["Warning"]
        assert remembered in again.status["subscriptions"]
    away = plan(Snapshot(made, INPUTS, live(made), pulsar=None))
    assert away.status["subscriptions"] == known.status["subscriptions"]
    fresh = body("PulsarBridge", source=source)
    first = plan(Snapshot(fresh, INPUTS, live(fresh), pulsar=gone))
    assert CreateSubscription(EVENTS, "pricing", InitialPosition.LATEST) in first.pulsar
