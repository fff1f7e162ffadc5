"""Several Pulsar topics, or a pattern, -> Valkey, with real brokers and real processes."""

import json
import uuid
from typing import Any

import pulsar as pulsar_library
import pytest
from pulsar import schema

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_topic,
    delete_subscription,
    delete_topic,
    publish,
    read_topic,
    resource,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"


@pytest.fixture
def stem(pulsar: Pulsar) -> str:
    """What the names of a test's topics begin with; the topic for dead letters exists."""
    name = f"persistent://public/default/many-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-dead")
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, stem: str, source: dict[str, Any], **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"subscription": SUBSCRIPTION, **source}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        "deadLetter": {"topic": f"{stem}-dead"},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def numbered(name: str, first: int, last: int) -> list[bytes]:
    return [json.dumps([name, number]).encode() for number in range(first, last)]


def arrived(valkey: Valkey) -> dict[str, list[int]]:
    """The numbers that arrived, in order, by the name of their topic."""
    found: dict[str, list[int]] = {}
    with valkey.client() as client:
        for entry in client.lrange(LIST, 0, -1)[::-1]:
            name, number = json.loads(entry)
            found.setdefault(name, []).append(number)
    return found


def wait_for_numbers(valkey: Valkey, **counts: int) -> None:
    wanted = {name: list(range(count)) for name, count in counts.items()}
    wait_for(lambda: arrived(valkey) == wanted, f"{counts}, each in order and once", 40)


def test_p1_p2_several_topics_arrive_each_in_order_and_a_lost_one_harms_no_other(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    first, second = create_topic(pulsar, f"{stem}-a"), create_topic(pulsar, f"{stem}-b", partitions=1)
    publish(pulsar, first, numbered("a", 0, 1500))
    publish(pulsar, second, numbered("b", 0, 1500))
    document = bridge(
        valkey,
        pulsar,
        stem,
        {"topics": [first, second, f"{stem}-c"]},
        deduplicate={"key": "to_string(@)"},
    )
    running = processes.start("bridge", document)
    wait_for_numbers(valkey, a=1500, b=1500)
    labels = {"topic": f"{stem}-c", "subscription": SUBSCRIPTION, "reason": "TopicNotFound"}
    assert running.metric("pulsar_consumer_failures_total", **labels) >= 1
    assert f"{stem}-c cannot be read: TopicNotFound" in running.log()
    # the third topic is made; the first one goes, and comes back
    third = create_topic(pulsar, f"{stem}-c")
    publish(pulsar, third, numbered("c", 0, 10))
    delete_topic(pulsar, first)
    publish(pulsar, second, numbered("b", 1500, 1600))
    wait_for_numbers(valkey, a=1500, b=1600, c=10)
    create_topic(pulsar, first)
    publish(pulsar, first, numbered("a", 1500, 1510))
    wait_for_numbers(valkey, a=1510, b=1600, c=10)
    for topic, count in ((first, 1510), (second, 1600), (third, 10)):
        wait_for(lambda topic=topic: backlog(pulsar, topic, SUBSCRIPTION) == 0, "no backlog", 40)  # type: ignore[misc]
        assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success") == count
    assert running.stop() == 0


def test_p7_dead_letters_name_the_topic_they_come_from(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    first, second = create_topic(pulsar, f"{stem}-a"), create_topic(pulsar, f"{stem}-b", partitions=2)
    for topic in (first, second):
        publish(pulsar, topic, [b"poison"])
    celery = {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}}
    running = processes.start("bridge", bridge(valkey, pulsar, stem, {"topics": [first, second]}, sink=celery))
    wait_for(lambda: len(read_topic(pulsar, f"{stem}-dead")) == 2, "two dead letters")
    letters = read_topic(pulsar, f"{stem}-dead")
    assert {letter.properties()["REAL_TOPIC"] for letter in letters} == {first, second}
    for topic in (first, second):
        assert running.metric("pulsar_consumer_failures_total", topic=topic, reason="InvalidJSON") == 1
        publish(pulsar, topic, [b"{}"])

    def origins() -> set[str]:
        with valkey.client() as client:
            tasks = [json.loads(entry)["headers"] for entry in client.lrange(LIST, 0, -1)]
        for task in tasks:
            origin = task["headrace"]
            name = f"{origin['topic']}|{origin['messageId']}|{origin['publishTimeMillis']}"
            assert task["id"] == str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        return {task["headrace"]["topic"] for task in tasks}

    wait_for(lambda: origins() == {first, second}, "a task of each topic")


def test_p1_topics_of_a_pattern_are_found_when_they_appear_and_read_whole(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    old = create_topic(pulsar, f"{stem}-x-a")
    create_topic(pulsar, f"{stem}-y")
    publish(pulsar, f"{stem}-y", numbered("y", 0, 5))
    publish(pulsar, old, numbered("before", 0, 5))
    source = {"topicsPattern": f"{stem}-x-.*", "initialPosition": "Latest"}
    document = bridge(valkey, pulsar, stem, source)
    running = processes.start("bridge", document).wait_until_ready()
    wait_for(lambda: "1 topics" in running.log(), "the first topic is read")
    publish(pulsar, old, numbered("a", 0, 100))
    wait_for_numbers(valkey, a=100)
    new = create_topic(pulsar, f"{stem}-x-b", partitions=2)
    publish(pulsar, new, {"k": numbered("b", 0, 1)[0]})
    publish(pulsar, old, numbered("a", 100, 200))
    wait_for_numbers(valkey, a=200, b=1)
    assert running.stop() == 0
    # what appears while no pod runs is new, too
    publish(pulsar, create_topic(pulsar, f"{stem}-x-c"), numbered("c", 0, 3))
    again = processes.start("bridge", document)
    wait_for_numbers(valkey, a=200, b=1, c=3)
    assert again.metric("headrace_bridge_duplicates_dropped_total") == 0


def test_a_pattern_without_topics_waits_for_one(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    processes.start("bridge", bridge(valkey, pulsar, stem, {"topicsPattern": f"{stem}-x"})).wait_until_ready()
    publish(pulsar, create_topic(pulsar, f"{stem}-x"), numbered("x", 0, 3))
    wait_for_numbers(valkey, x=3)


def test_p1_p2_p5_a_subscription_or_topic_deleted_under_the_bridge_is_told_and_taken_up_again(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    topic = create_topic(pulsar, f"{stem}-a")
    running = processes.start("bridge", bridge(valkey, pulsar, stem, {"topic": topic})).wait_until_ready()
    publish(pulsar, topic, numbered("a", 0, 10))
    wait_for(lambda: arrived(valkey) == {"a": list(range(10))}, "the first ones")
    delete_subscription(pulsar, topic, SUBSCRIPTION)
    publish(pulsar, topic, numbered("a", 10, 20))
    wait_for_numbers(valkey, a=20)
    delete_topic(pulsar, topic)
    wait_for(lambda: f"{topic} cannot be read: TopicNotFound" in running.log(), "the reason")
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    assert running.get("/livez")[0] == 200
    publish(pulsar, create_topic(pulsar, topic), numbered("a", 20, 30))
    wait_for_numbers(valkey, a=30)
    assert running.metric("pulsar_consumer_failures_total", topic=topic, reason="TopicNotFound") >= 1


def test_the_payload_of_a_topic_with_a_schema_arrives_as_it_is(
    valkey: Valkey, pulsar: Pulsar, stem: str, processes: Processes
) -> None:
    class Order(schema.Record):  # type: ignore[misc]
        number = schema.Integer()

    topic = create_topic(pulsar, f"{stem}-typed")
    client = pulsar_library.Client(pulsar.service_url)
    client.create_producer(topic, schema=schema.JsonSchema(Order)).send(Order(number=7))
    client.close()
    celery = {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}}
    processes.start("bridge", bridge(valkey, pulsar, stem, {"topic": topic}, sink=celery))

    def payload() -> Any:
        with valkey.client() as client:
            entries = client.lrange(LIST, 0, -1)
        return entries and json.loads(json.loads(entries[0])["body"])[0]

    wait_for(lambda: payload() == [{"number": 7}], "the JSON of the record")
