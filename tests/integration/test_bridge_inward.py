"""Pulsar -> Valkey, with real brokers and real processes."""

import json
import signal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey as Client

from headrace.api.connection import PulsarConnection
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.pulsar_library import core
from headrace.process.configuration import Secrets
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_topic,
    payloads,
    producer,
    publish,
    read_topic,
    resource,
    unload,
    wait_for,
)

LIST = "events"
SUBSCRIPTION = "shop"
PREFIX = "headrace:{test/events}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/in-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return create_topic(pulsar, name, partitions=2)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def entries(valkey: Valkey, key: str = LIST) -> list[str]:
    """The list as a consumer would take it: from its right end."""
    with valkey.client() as client:
        found: list[str] = client.lrange(key, 0, -1)
    return found[::-1]


def events(first: int, last: int) -> list[bytes]:
    return [json.dumps({"id": f"e{number}", "number": number}).encode() for number in range(first, last)]


def texts(messages: list[bytes]) -> list[str]:
    return [message.decode() for message in messages]


def wait_for_entries(valkey: Valkey, number: int, seconds: float = 40) -> None:
    wait_for(lambda: len(entries(valkey)) >= number, f"{number} entries", seconds)


def wait_until_acknowledged(pulsar: Pulsar, topic: str) -> None:
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "the subscription has no backlog", 40)


def test_messages_arrive_once_and_in_order(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    messages = events(0, 2500)
    publish(pulsar, topic, messages)
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for_entries(valkey, 2500)
    found = entries(valkey)
    assert Counter(found) == Counter(texts(messages))
    # one partition is taken after the other, each in its order
    by_partition = [[json.loads(each)["number"] for each in texts_of(pulsar, topic, part)] for part in (0, 1)]
    position = {json.loads(each)["number"]: place for place, each in enumerate(found)}
    assert all(
        [position[number] for number in part] == sorted(position[number] for number in part) for part in by_partition
    )
    wait_until_acknowledged(pulsar, topic)
    assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success") == 2500
    assert running.stop() == 0


def texts_of(pulsar: Pulsar, topic: str, partition: int) -> list[str]:
    return payloads(pulsar, f"{topic}-partition-{partition}")


def test_celery_envelopes_bring_identity_and_origin(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    properties = {"traceparent": "00-abc", "tracestate": "a=1", "tenant": "x"}
    publish(pulsar, topic, {"key": b'{"id": "a", "text": "\\u00fc \\"quoted\\""}'}, properties=properties)
    sink = {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}}
    processes.start("bridge", bridge(valkey, pulsar, topic, sink=sink)).wait_until_ready()
    wait_for_entries(valkey, 1)
    envelope = json.loads(entries(valkey)[0])
    assert json.loads(envelope["body"])[0] == [{"id": "a", "text": 'ü "quoted"'}]
    headers = envelope["headers"]
    origin = headers["headrace"]
    assert headers["task"] == "shop.price"
    assert headers["id"] == str(
        uuid.uuid5(uuid.NAMESPACE_URL, f"{topic}|{origin['messageId']}|{origin['publishTimeMillis']}")
    )
    assert (headers["traceparent"], headers["tracestate"]) == ("00-abc", "a=1")
    assert (origin["topic"], origin["key"], origin["properties"]) == (topic, "key", properties)
    assert envelope["properties"]["delivery_tag"] == headers["id"]
    assert envelope["properties"]["delivery_info"] == {"exchange": "", "routing_key": LIST}


def test_p2_a_key_passes_once_in_the_window_and_payloads_are_cached(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    publish(pulsar, topic, [b'{"id": "a", "try": 1}'])
    document = bridge(
        valkey,
        pulsar,
        topic,
        deduplicate={"key": "id", "windowSeconds": 4},
        cache={"key": "id", "prefix": "event:", "ttlSeconds": 100},
    )
    running = processes.start("bridge", document).wait_until_ready()
    wait_for_entries(valkey, 1)
    publish(pulsar, topic, [b'{"id": "a", "try": 2}', b'{"id": "b", "try": 1}'])
    wait_for_entries(valkey, 2)
    wait_for(lambda: running.metric("headrace_bridge_duplicates_dropped_total") == 1, "the duplicate is counted")
    with valkey.client() as client:
        assert client.get("event:a") == '{"id": "a", "try": 1}'
        assert 0 < client.ttl("event:b") <= 100
        wait_for(lambda: not client.exists(f"{PREFIX}:seen:a"), "the window ends")
    publish(pulsar, topic, [b'{"id": "a", "try": 3}'])
    wait_for_entries(valkey, 3)
    assert sorted(json.loads(each)["try"] for each in entries(valkey)) == [1, 1, 3]


def test_p1_values_stay_what_they_are_as_keys_and_on_their_way(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    numbers = ["18446744073709551617", "18446744073709551618", "1.10", "1.1", "1e2", "100.0", "-0", "1e400", "9" * 5000]
    messages = [f'{{"b": NaN, "id": {number}, "a": "\\ud800"}}' for number in numbers]
    publish(pulsar, topic, [each.encode() for each in messages])
    document = bridge(
        valkey, pulsar, topic, deduplicate={"key": "id"}, cache={"key": "id", "prefix": "event:", "ttlSeconds": 100}
    )
    running = processes.start("bridge", document).wait_until_ready()
    wait_for_entries(valkey, len(messages))
    assert sorted(entries(valkey)) == sorted(messages)
    with valkey.client() as client:
        assert [client.get(f"event:{number}") for number in numbers] == messages
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0


def test_p7_poison_goes_to_the_dead_letter_topic_with_its_reason(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    publish(pulsar, topic, [b'{"id": "a"}', b"\xff not json", b'{"other": 1}', b'{"id": "b"}'], properties={"p": "q"})
    sink = {"valkey": {"celery": {"task": "shop.price", "queue": LIST}}}
    document = bridge(valkey, pulsar, topic, sink=sink, deduplicate={"key": "id"})
    running = processes.start("bridge", document).wait_until_ready()
    dead_letter_topic = f"{topic}-{SUBSCRIPTION}-DLQ"
    wait_for(lambda: len(read_topic(pulsar, dead_letter_topic)) == 2, "two dead letters")
    letters = read_topic(pulsar, dead_letter_topic)
    wait_for_entries(valkey, 2)
    by_reason = {letter.properties()["HEADRACE_REASON"]: letter for letter in letters}
    assert by_reason["InvalidJSON"].data() == b"\xff not json"
    properties = by_reason["KeyMissing"].properties()
    assert by_reason["KeyMissing"].data() == b'{"other": 1}'
    assert properties["HEADRACE_ERROR"] == "the message has no id, which deduplicate needs."
    assert (properties["REAL_TOPIC"], properties["p"], properties["HEADRACE_ATTEMPTS"]) == (topic, "q", "1")
    assert properties["HEADRACE_SOURCE"] == "PulsarBridge/test/events"
    assert properties["ORIGIN_MESSAGE_ID"].count(":") == 3
    labels = {"topic": topic, "subscription": SUBSCRIPTION, "reason": "InvalidJSON"}
    assert running.metric("pulsar_consumer_failures_total", **labels) == 1
    assert running.metric("headrace_bridge_dead_letters_total", reason="KeyMissing") == 1
    wait_until_acknowledged(pulsar, topic)


def test_p7_what_no_selector_and_no_client_can_read_harms_no_other(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with producer(pulsar, topic) as sender:
        # a property of bytes that are no UTF-8: other clients can write it, ours cannot read it
        binary = core.MessageBuilder().content(b'{"id": "a"}').property("p", b"\xff").build()
        sender._producer.send(binary)
    publish(pulsar, topic, [b'{"id": 5}', b"", b'{"id": "b"}'])
    document = bridge(valkey, pulsar, topic, deduplicate={"key": "length(id)"})
    running = processes.start("bridge", document).wait_until_ready()
    dead_letter_topic = f"{topic}-{SUBSCRIPTION}-DLQ"
    wait_for(lambda: len(read_topic(pulsar, dead_letter_topic)) == 3, "three dead letters")
    letters = {letter.data(): letter.properties() for letter in read_topic(pulsar, dead_letter_topic)}
    assert {data: letter["HEADRACE_REASON"] for data, letter in letters.items()} == {
        b'{"id": "a"}': "InvalidRecord",
        b'{"id": 5}': "SelectorFailed",
        b"": "InvalidJSON",
    }
    assert "length(id) fails: " in letters[b'{"id": 5}']["HEADRACE_ERROR"]
    wait_until_acknowledged(pulsar, topic)
    assert entries(valkey) == ['{"id": "b"}']
    assert "unexpected error" not in running.log()


def test_p1_max_depth_holds_messages_back_and_the_backlog_is_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, tmp_path: Path
) -> None:
    messages = events(0, 300)
    publish(pulsar, topic, messages)
    document = bridge(valkey, pulsar, topic, sink={"valkey": {"list": {"key": LIST, "maxDepth": 50}}})
    running = processes.start("bridge", document).wait_until_ready()
    taken: list[str] = []
    admin = PulsarAdmin(PulsarConnection(**document["spec"]["pulsar"]), Secrets(tmp_path))
    with valkey.client() as client:
        wait_for_length(client, 50)
        # messages, about; the broker counts the producer's few batches
        assert backlog(pulsar, topic, SUBSCRIPTION) < 100
        wait_for(lambda: 150 < admin.backlog(topic, SUBSCRIPTION) < 450, "the backlog is told in messages")
        while len(taken) < 300:
            expected = min(50, 300 - len(taken))
            wait_for_length(client, expected)
            assert running.get("/readyz")[0] == 200
            taken += [client.rpop(LIST) for _ in range(client.llen(LIST))]
        assert client.llen(LIST) == 0
    assert Counter(taken) == Counter(texts(messages))


def wait_for_length(client: Client, length: int) -> None:
    wait_for(lambda: client.llen(LIST) == length, "the list is filled up")


POINTS = {
    "before anything is pushed": "headrace.bridge.delivery:DeliveryStore.push@before",
    "after the push, before the acknowledgement": "headrace.bridge.delivery:DeliveryStore.push",
    "later": "headrace.bridge.delivery:DeliveryStore.push#2",
    "after an acknowledgement": "headrace.bridge.inward:Inward._settle#12",
}


@pytest.mark.parametrize("point", POINTS)
def test_p1_p2_killed_at_any_point_nothing_is_lost_or_doubled(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, point: str
) -> None:
    messages = [b"poison" if not number % 100 else message for number, message in enumerate(events(0, 2200))]
    publish(pulsar, topic, messages)
    # several batches, whatever has arrived
    source = {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, "batching": {"maxMessages": 500}}}
    document = bridge(valkey, pulsar, topic, source=source, deduplicate={"key": "number", "windowSeconds": 1})
    dying = processes.start("bridge", document, deadly=POINTS[point])
    assert dying.process.wait(30) == -signal.SIGKILL
    processes.start("bridge", document)
    wait_for_entries(valkey, 2178)
    wait_until_acknowledged(pulsar, topic)
    assert Counter(entries(valkey)) == Counter(texts([message for message in messages if message != b"poison"]))
    wait_for(lambda: dead_letters_left(valkey) == 0, "the dead letters are moved")
    assert payloads(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ") == ["poison"] * 22


def dead_letters_left(valkey: Valkey) -> int:
    with valkey.client() as client:
        return int(client.llen(f"{PREFIX}:dead-letters") + client.llen(f"{PREFIX}:dead-letters:cut"))


def test_p2_a_replica_that_was_frozen_pushes_nothing_twice(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/freeze-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ")
    document = bridge(valkey, pulsar, topic)
    frozen = processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, events(0, 100))
    wait_for_entries(valkey, 100)
    frozen.signal(signal.SIGSTOP)
    publish(pulsar, topic, events(100, 5000))
    # the broker forgets its consumers, as it does some time after a node is gone
    unload(pulsar, topic)
    processes.start("bridge", document)
    wait_for_entries(valkey, 5000)
    frozen.signal(signal.SIGCONT)
    publish(pulsar, topic, events(5000, 5001))
    wait_for_entries(valkey, 5001)
    wait_until_acknowledged(pulsar, topic)
    assert entries(valkey) == texts(events(0, 5001))


def test_a_topic_that_was_made_anew_is_not_taken_for_redelivered(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        # what a bridge remembers of a Pulsar whose disk is gone
        client.hset(f"{PREFIX}:watermark", mapping={f"{topic}-partition-{part}": "900000000:5:0" for part in (0, 1)})
    publish(pulsar, topic, events(0, 50))
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for_entries(valkey, 50)
    assert "made anew" in running.log()
