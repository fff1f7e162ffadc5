import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge
from headrace.api.resource import parse
from headrace.api.topic import InitialPosition
from headrace.pulsar.errors import (
    DeduplicationDisabledError,
    NamespaceNotFoundError,
    PartitionDecreaseError,
    SubscriptionConflictError,
    TopicConflictError,
)
from headrace.pulsar.facts import NamespaceFacts, PulsarFacts, TopicFacts
from headrace.pulsar.plan import (
    CreateNamespace,
    CreateSubscription,
    CreateTenant,
    CreateTopic,
    GrowPartitions,
    PulsarPlan,
    RemovePolicy,
    SetPolicy,
    SetProperty,
    plan_pulsar,
)
from headrace.pulsar.wanted import Policy, Wanted, wanted

SINK, DEAD = "persistent://shop/orders/out", "persistent://shop/orders/out-DLQ"
ME, OTHER = "PulsarBridge/k/x", "PulsarBridge/k/other"


def want(**spec: Any) -> Wanted:
    """What a bridge from a list to the sink wants; *spec* adds fields."""
    return wanted(bridge(**spec))


def bridge(**spec: Any) -> PulsarBridge:
    """A bridge from a list to the sink; *spec* adds fields."""
    body = {
        "kind": "PulsarBridge",
        "metadata": {"name": "x", "namespace": "k"},
        "spec": {
            "source": {"valkey": {"list": {"key": "orders"}}},
            "sink": {"pulsar": {"topic": SINK}},
            "valkey": {"url": "valkey://valkey"},
            "pulsar": {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"},
            **spec,
        },
    }
    return parse(PulsarBridge, body)


SOURCES = ["persistent://shop/orders/b", "persistent://shop/orders/a"]
TO_VALKEY = {"valkey": {"list": {"key": "orders"}}}


def test_each_named_topic_gets_the_subscription_and_the_first_one_names_the_dead_letters() -> None:
    source = {"topics": SOURCES, "subscription": "s", "initialPosition": "Latest"}
    needs = want(source={"pulsar": source}, sink=TO_VALKEY)
    assert [each.name for each in needs.topics] == [*SOURCES, f"{SOURCES[0]}-s-DLQ"]
    assert [(each.topic, each.position) for each in needs.subscriptions if each.name == "s"] == [
        (name, InitialPosition.LATEST) for name in SOURCES
    ]


def test_the_retry_topic_is_made_with_the_subscription_and_is_no_source() -> None:
    source = {"topicsPattern": "persistent://shop/orders/.*", "subscription": "s"}
    cache = {"key": "id", "prefix": "o:", "ttlSeconds": 1}
    letters = {"retry": {"topic": f"{SOURCES[0]}-RETRY"}, "deadLetter": {"topic": DEAD}}
    spec = {"source": {"pulsar": source}, "sink": TO_VALKEY, "cache": cache, **letters}
    needs = want(**spec)
    assert [(each.name, each.deduplicates) for each in needs.topics] == [(f"{SOURCES[0]}-RETRY", True), (DEAD, True)]
    assert (f"{SOURCES[0]}-RETRY", "s") in [(each.topic, each.name) for each in needs.subscriptions]
    assert not bridge(**spec).spec.consumes(f"{SOURCES[0]}-RETRY")


def test_p4_the_topics_of_a_pattern_are_not_made_by_us() -> None:
    source = {"topicsPattern": "persistent://shop/orders/.*", "subscription": "s"}
    needs = want(source={"pulsar": source}, sink=TO_VALKEY, deadLetter={"topic": DEAD})
    assert [each.name for each in needs.topics] == [DEAD]
    assert {each.topic for each in needs.subscriptions} == {DEAD}


@pytest.mark.parametrize(
    ("name", "consumed"),
    [("eu-1", True), ("eu-1-DLQ", False), ("xeu-1", False), ("__eu-1", False), ("eu-12", True), ("us", False)],
)
def test_a_pattern_means_whole_names_and_never_the_bridges_own_dead_letters(name: str, consumed: bool) -> None:
    spec = {
        "source": {"pulsar": {"topicsPattern": "persistent://shop/orders/(__)?eu-.*", "subscription": "s"}},
        "sink": TO_VALKEY,
        "deadLetter": {"topic": "persistent://shop/orders/eu-1-DLQ"},
    }
    assert bridge(**spec).spec.consumes(f"persistent://shop/orders/{name}") is consumed
    assert not bridge(**spec).spec.consumes(f"persistent://shop/other/{name}")


def topic(*, ours: bool = False, **fields: Any) -> TopicFacts:
    """A topic that exists and deduplicates, with every subscription of the tests."""
    owners = fields.pop("owners", {})
    properties = {"headrace.owner": ME} if ours else {}
    if owners:
        properties["headrace.policies"] = json.dumps(owners)
    return TopicFacts(
        exists=True,
        properties=properties,
        policies=fields.pop("policies", {Policy.DEDUPLICATION: True}),
        subscriptions=frozenset({DEAD_LETTER_SUBSCRIPTION}),
        **fields,
    )


def facts(**topics: TopicFacts) -> PulsarFacts:
    """A Pulsar with sink and dead-letter topic; *topics*: sink=, dead= replace them."""
    found = {"sink": topic(), "dead": topic(), **topics}
    names = {"sink": SINK, "dead": DEAD}
    return PulsarFacts(
        clusters=("c1", "c2"),
        namespaces={"shop/orders": NamespaceFacts(exists=True)},
        topics={names.get(name, name): each for name, each in found.items()},
    )


def declared(**policies: Any) -> Wanted:
    """The bridge with its sink declared."""
    return want(topics=[{"name": SINK, "policies": policies}])


def actions(made: PulsarPlan) -> list[Any]:
    """The actions of a plan without problems."""
    assert made.problems == ()
    return list(made.actions)


def test_p3_what_stands_is_left_alone() -> None:
    assert plan_pulsar(want(), facts()) == PulsarPlan()


def test_all_is_made_in_an_order_that_works() -> None:
    made = plan_pulsar(want(namespaces=[{"name": "shop/orders"}]), PulsarFacts(clusters=("c1",)))
    assert [type(action) for action in actions(made)] == [
        CreateTenant,
        CreateNamespace,
        CreateTopic,
        SetPolicy,
        CreateTopic,
        SetPolicy,
        CreateSubscription,
    ]
    assert made.actions[0] == CreateTenant("shop", ("c1",))
    assert made.actions[2] == CreateTopic(
        SINK, 0, {"headrace.owner": ME, "headrace.policies": json.dumps({"deduplication": ME}, separators=(",", ":"))}
    )
    assert isinstance(made.actions[-1], CreateSubscription)
    assert made.actions[-1].name == DEAD_LETTER_SUBSCRIPTION


def test_a_namespace_that_nobody_declares_is_named() -> None:
    made = plan_pulsar(want(), PulsarFacts())
    assert {type(problem) for problem in made.problems} == {NamespaceNotFoundError}
    assert made.actions == ()
    assert "list it under spec.namespaces" in str(made.problems[0])


def test_partitions_grow_and_never_shrink() -> None:
    grown = plan_pulsar(want(topics=[{"name": SINK, "partitions": 4}]), facts(sink=topic(partitions=2)))
    assert actions(grown) == [GrowPartitions(SINK, 4)]
    shrunk = plan_pulsar(want(topics=[{"name": SINK, "partitions": 2}]), facts(sink=topic(partitions=4)))
    assert isinstance(shrunk.problems[0], PartitionDecreaseError)
    assert "partitions: 4" in str(shrunk.problems[0])
    unpartitioned = plan_pulsar(want(topics=[{"name": SINK, "partitions": 2}]), facts())
    assert isinstance(unpartitioned.problems[0], TopicConflictError)


def test_partitions_that_nobody_set_are_left_as_they_are() -> None:
    assert plan_pulsar(want(topics=[{"name": SINK}]), facts(sink=topic(partitions=4))) == PulsarPlan()


def test_the_owner_is_written_down_before_the_policy_is_set() -> None:
    made = plan_pulsar(declared(messageTtlSeconds=60), facts())
    owners = json.dumps({"messageTtl": ME}, separators=(",", ":"))
    assert actions(made) == [
        SetProperty(SINK, "headrace.policies", owners),
        SetPolicy(SINK, Policy.MESSAGE_TTL, 60),
    ]


def test_p4_an_unset_policy_of_ours_goes_and_is_struck_out_afterwards() -> None:
    ttl = {Policy.DEDUPLICATION: True, Policy.MESSAGE_TTL: 60}
    mine = facts(sink=topic(policies=ttl, owners={"messageTtl": ME}))
    assert actions(plan_pulsar(declared(), mine)) == [
        RemovePolicy(SINK, Policy.MESSAGE_TTL),
        SetProperty(SINK, "headrace.policies", "{}"),
    ]


def test_p4_a_foreign_policy_stays() -> None:
    ttl = {Policy.DEDUPLICATION: True, Policy.MESSAGE_TTL: 60}
    assert plan_pulsar(declared(), facts(sink=topic(policies=ttl))) == PulsarPlan()
    # the same value declared by us does not make it ours
    assert plan_pulsar(declared(messageTtlSeconds=60), facts(sink=topic(policies=ttl))) == PulsarPlan()


def test_p4_policies_go_from_a_topic_that_left_the_spec() -> None:
    former = "persistent://shop/orders/former"
    held = topic(policies={Policy.MESSAGE_TTL: 60}, owners={"messageTtl": ME, "retention": OTHER})
    made = plan_pulsar(want(), facts(**{former: held}))
    assert actions(made) == [
        RemovePolicy(former, Policy.MESSAGE_TTL),
        SetProperty(former, "headrace.policies", json.dumps({"retention": OTHER}, separators=(",", ":"))),
    ]


def test_two_resources_do_not_fight_for_a_policy() -> None:
    theirs = facts(
        sink=topic(policies={Policy.DEDUPLICATION: True, Policy.MESSAGE_TTL: 9}, owners={"messageTtl": OTHER})
    )
    made = plan_pulsar(declared(messageTtlSeconds=60), theirs)
    assert isinstance(made.problems[0], TopicConflictError)
    assert OTHER in str(made.problems[0])
    taken_over = plan_pulsar(declared(messageTtlSeconds=60), theirs, departed=frozenset({OTHER}))
    assert SetPolicy(SINK, Policy.MESSAGE_TTL, 60) in actions(taken_over)


def test_a_foreign_sink_must_deduplicate() -> None:
    plain = topic(policies={})
    made = plan_pulsar(want(), facts(sink=plain))
    assert isinstance(made.problems[0], DeduplicationDisabledError)
    assert "list it under spec.topics" in str(made.problems[0])
    assert made.actions == ()


@pytest.mark.parametrize("level", ["namespace", "broker"])
def test_deduplication_may_come_from_above(level: str) -> None:
    plain = facts(sink=topic(policies={}))
    on = NamespaceFacts(exists=True, deduplication=True)
    above = (
        replace(plain, namespaces={"shop/orders": on})
        if level == "namespace"
        else replace(plain, broker_deduplication=True)
    )
    assert plan_pulsar(want(), above) == PulsarPlan()
    off = topic(policies={Policy.DEDUPLICATION: False})
    assert plan_pulsar(want(), replace(above, topics={**above.topics, SINK: off})).problems


def test_a_declared_sink_is_given_into_our_hands() -> None:
    made = plan_pulsar(declared(), facts(sink=topic(policies={})))
    assert SetPolicy(SINK, Policy.DEDUPLICATION, True) in actions(made)
    refused = plan_pulsar(declared(deduplication=False), facts(sink=topic(policies={})))
    assert "write deduplication: true" in str(refused.problems[0])


def test_a_topic_that_headrace_made_for_another_resource_may_become_a_sink() -> None:
    made_by_other = replace(topic(policies={}), properties={"headrace.owner": OTHER})
    assert SetPolicy(SINK, Policy.DEDUPLICATION, True) in actions(plan_pulsar(want(), facts(sink=made_by_other)))


def test_a_dead_letter_topic_of_others_keeps_its_policies() -> None:
    assert plan_pulsar(want(), facts(dead=topic(policies={}))) == PulsarPlan()


def test_a_subscription_on_a_topic_that_nobody_makes() -> None:
    stray = [{"topic": "persistent://shop/orders/stray", "name": "s"}]
    made = plan_pulsar(want(subscriptions=stray), facts())
    assert isinstance(made.problems[0], SubscriptionConflictError)
    existing = facts(**{"persistent://shop/orders/stray": topic()})
    assert [type(action) for action in actions(plan_pulsar(want(subscriptions=stray), existing))] == [
        CreateSubscription
    ]


def test_a_broken_owners_property_counts_as_empty() -> None:
    for text in ("not json", "[]", '{"messageTtl": 3}'):
        broken = replace(topic(), properties={"headrace.policies": text})
        assert broken.policy_owners == {}
        assert plan_pulsar(declared(), facts(sink=broken)).problems == ()


def test_every_policy_has_its_wire_form() -> None:
    made = declared(
        retention={"timeSeconds": 3600, "sizeMegabytes": 10},
        messageTtlSeconds=5,
        backlogQuota={"limitBytes": 7, "policy": "ProducerException"},
        deduplication=True,
    )
    assert made.topics[0].policies == {
        Policy.RETENTION: {"retentionTimeInMinutes": 60, "retentionSizeInMB": 10},
        Policy.MESSAGE_TTL: 5,
        Policy.BACKLOG_QUOTA: {"limitSize": 7, "policy": "producer_exception"},
        Policy.DEDUPLICATION: True,
    }
    endless = declared(retention={"timeSeconds": -1})
    assert endless.topics[0].policies[Policy.RETENTION]["retentionTimeInMinutes"] == -1


def test_p1_a_subscription_that_stood_before_is_made_again_where_nothing_is_passed_over() -> None:
    source = {"topics": SOURCES, "subscription": "s", "initialPosition": "Latest"}
    needs = want(source={"pulsar": source}, sink=TO_VALKEY)
    facts = PulsarFacts(namespaces={"shop/orders": NamespaceFacts(exists=True)})
    seen = frozenset({(SOURCES[0], "s")})
    made = [each for each in plan_pulsar(needs, facts, seen=seen).actions if isinstance(each, CreateSubscription)]
    assert [(each.topic, each.position, each.again) for each in made if each.name == "s"] == [
        (SOURCES[0], InitialPosition.EARLIEST, True),
        (SOURCES[1], InitialPosition.LATEST, False),
    ]
    assert "create again subscription s on topic persistent://shop/orders/b at earliest, for it was gone" in map(
        str, made
    )
