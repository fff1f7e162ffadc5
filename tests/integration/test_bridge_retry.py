"""Retry letters: what Valkey refuses for one message alone waits on a topic and is tried again."""

import json
import uuid
from datetime import datetime
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_topic,
    publish,
    read_topic,
    resource,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"
REASON = "WrongType"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/retry-{uuid.uuid4().hex[:8]}"
    for suffix in ("DLQ", "RETRY"):
        create_topic(pulsar, f"{name}-{SUBSCRIPTION}-{suffix}")
    return create_topic(pulsar, name, partitions=2)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}},
        "sink": {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}},
        "cache": {"key": "id", "prefix": "order:", "ttlSeconds": 3600},
        "deduplicate": {"key": "id"},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def retry(attempts: int) -> dict[str, Any]:
    return {"maxAttempts": attempts, "backoff": {"baseSeconds": 1, "factor": 2, "jitter": False}}


def tasks(valkey: Valkey) -> dict[str, dict[str, Any]]:
    """The tasks that arrived, by the id in their payload; each arrived once."""
    with valkey.client() as client:
        found = [json.loads(entry) for entry in client.lrange(LIST, 0, -1)]
    by_id = {json.loads(task["body"])[0][0]["id"]: task for task in found}
    assert len(by_id) == len(found)
    return by_id


def test_p7_a_refused_message_waits_and_is_tried_again_as_java_would(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.hset("order:b", "taken", "by another")
        client.hset("order:c", "taken", "by another")
    running = processes.start("bridge", bridge(valkey, pulsar, topic, retry=retry(3))).wait_until_ready()
    publish(pulsar, topic, {name: json.dumps({"id": name}).encode() for name in "abcd"}, properties={"p": "q"})
    wait_for(lambda: tasks(valkey).keys() >= {"a", "d"}, "the others pass")
    retry_topic, dead_letter_topic = f"{topic}-{SUBSCRIPTION}-RETRY", f"{topic}-{SUBSCRIPTION}-DLQ"
    wait_for(lambda: len(read_topic(pulsar, retry_topic)) >= 2, "both are on the retry topic")
    with valkey.client() as client:
        client.delete("order:b")
    wait_for(lambda: tasks(valkey).keys() == {"a", "b", "d"}, "the one that was mended passes")
    wait_for(lambda: len(read_topic(pulsar, dead_letter_topic)) == 1, "the other one is given up")
    [letter] = read_topic(pulsar, dead_letter_topic)
    assert letter.data() == b'{"id": "c"}'
    properties = letter.properties()
    assert (properties["HEADRACE_REASON"], properties["HEADRACE_ATTEMPTS"]) == (REASON, "3")
    assert (properties["REAL_TOPIC"], properties["RECONSUMETIMES"]) == (topic, "2")
    # what Java's ConsumerImpl.reconsumeLater (4.0.7) writes, under the names of RetryMessageUtil
    origin = properties["ORIGIN_MESSAGE_ID"]
    mine = [each for each in read_topic(pulsar, retry_topic) if each.data() == b'{"id": "c"}']
    assert [
        {name: value for name, value in each.properties().items() if not name.startswith("HEADRACE_")} for each in mine
    ] == [
        {
            "p": "q",
            "REAL_TOPIC": topic,
            "REAL_SUBSCRIPTION": SUBSCRIPTION,
            "ORIGIN_MESSAGE_ID": origin,
            "ORIGIN_MESSAGE_IDY_TIME": origin,
            "RECONSUMETIMES": str(attempt),
            "DELAY_TIME": str(delay),
        }
        for attempt, delay in ((1, 1000), (2, 2000))
    ]
    assert {each.partition_key() for each in mine} == {"c"}
    # the task is the one that it would have been at once
    head = tasks(valkey)["b"]["headers"]
    assert head["headrace"]["topic"] == topic
    assert head["id"] == str(
        uuid.uuid5(
            uuid.NAMESPACE_URL, f"{topic}|{head['headrace']['messageId']}|{head['headrace']['publishTimeMillis']}"
        )
    )
    for name in (topic, retry_topic):
        wait_for(lambda name=name: backlog(pulsar, name, SUBSCRIPTION) == 0, "all is acknowledged", 40)  # type: ignore[misc]
    assert running.metric("headrace_bridge_retries_total", reason=REASON) >= 3
    assert running.metric("headrace_bridge_dead_letters_total", reason=REASON) == 1
    with valkey.client() as client:
        assert client.hget("order:c", "taken") == "by another"


def test_p1_p2_killed_between_attempts_nothing_is_lost_or_doubled(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    names = [f"o{number}" for number in range(60)]
    with valkey.client() as client:
        for name in names[::3]:
            client.hset(f"order:{name}", "taken", "by another")
    document = bridge(valkey, pulsar, topic, retry=retry(20))
    publish(pulsar, topic, [json.dumps({"id": name}).encode() for name in names])
    for point in ("delivery:DeliveryStore.push", "outward:Outward._depart", "delivery:DeliveryStore.push@before#4"):
        dying = processes.start("bridge", document, deadly=f"headrace.bridge.{point}")
        dying.process.wait(60)
    with valkey.client() as client:
        client.delete(*(f"order:{name}" for name in names[::3]))
    processes.start("bridge", document)
    wait_for(lambda: tasks(valkey).keys() == set(names), "each arrives once", 60)
    wait_for(lambda: backlog(pulsar, f"{topic}-{SUBSCRIPTION}-RETRY", SUBSCRIPTION) == 0, "none waits", 60)
    assert tasks(valkey).keys() == set(names)
    assert read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ") == []


def test_p7_without_retry_a_refused_message_is_a_dead_letter_at_once(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.lpush("order:b", "taken")
    processes.start("bridge", bridge(valkey, pulsar, topic))
    publish(pulsar, topic, [b'{"id": "a"}', b'{"id": "b"}'])
    wait_for(lambda: len(read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ")) == 1, "the dead letter")
    [letter] = read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ")
    assert letter.properties()["HEADRACE_ERROR"] == "the cache key order:b is a list and should be a string."
    wait_for(lambda: tasks(valkey).keys() == {"a"}, "the other one passes")


def test_p8_a_retried_message_looks_as_the_first_time(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """To envelope and selectors; whatever names its producer chose."""
    own = {"tenant": "x", "REAL_TOPIC": "mine", "HEADRACE_REASON": "mine", "DELAY_TIME": "mine"}
    with valkey.client() as client:
        client.hset("order:x", "taken", "by another")
    changes = {
        "sink": {"valkey": {"list": {"key": LIST, "envelope": "JSON"}}},
        "cache": {"key": "message.properties.tenant", "prefix": "order:", "ttlSeconds": 3600},
        "deduplicate": {"key": "message.properties.HEADRACE_REASON"},
    }
    processes.start("bridge", bridge(valkey, pulsar, topic, retry=retry(9), **changes)).wait_until_ready()
    publish(pulsar, topic, {"k": b'{"id":  1.10}'}, properties=own)
    [original] = read_topic(pulsar, topic)
    wait_for(lambda: len(read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-RETRY")) >= 2, "it was put off twice")
    with valkey.client() as client:
        client.delete("order:x")
        wait_for(lambda: client.llen(LIST) == 1, "it passes")
        [entry] = map(json.loads, client.lrange(LIST, 0, -1))
    identity = original.message_id()
    assert entry["id"].startswith(f"{identity.ledger_id()}:{identity.entry_id()}:")
    assert (entry["source"], entry["key"], entry["properties"]) == (topic, "k", own)
    moment = datetime.fromisoformat(entry["time"])
    assert round(moment.timestamp() * 1000) == original.publish_timestamp()


def test_p1_p7_a_letter_keeps_its_reason_key_origin_and_properties_however_long_these_are(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.hset("order:b", "taken", "by another")
    processes.start("bridge", bridge(valkey, pulsar, topic, retry=retry(2))).wait_until_ready()
    sizes = (70_000, 1_500_000, 5_000_000)
    for size in sizes:
        long = {"long": "x" * size, "REAL_TOPIC": "mine"}
        publish(pulsar, topic, {"k": b"no JSON"}, batched=False, properties=long)
        publish(pulsar, topic, {"k": b'{"id": "b"}'}, batched=False, properties=long)
    dead_letter_topic = f"{topic}-{SUBSCRIPTION}-DLQ"
    wait_for(lambda: len(read_topic(pulsar, dead_letter_topic)) == 2 * len(sizes), "the letters", 60)
    found = [(each.data(), each.partition_key(), each.properties()) for each in read_topic(pulsar, dead_letter_topic)]
    for payload, key, properties in found:
        reason = "InvalidJSON" if payload == b"no JSON" else REASON
        assert (key, properties["HEADRACE_REASON"], properties["REAL_TOPIC"]) == ("k", reason, topic)
        assert properties["HEADRACE_KEPT_REAL_TOPIC"] == "mine"
    assert sorted(len(properties["long"]) for _, _, properties in found) == sorted(2 * sizes)
