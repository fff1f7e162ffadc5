"""Valkey -> Pulsar, with real brokers and real processes."""

import json
import os
import re
import signal
import uuid
from collections import Counter
from typing import Any

import pytest

from headrace.bridge import java_string_hash
from headrace.bridge.routing import Target
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    connections,
    create_topic,
    payloads,
    producer,
    read_topic,
    resource,
    wait_for,
)

PREFIX = "headrace:{test/orders}"
LIST = "orders"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/out-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": LIST}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "orders", spec)


def push(valkey: Valkey, entries: list[str]) -> None:
    with valkey.client() as client:
        for start in range(0, len(entries), 1000):
            client.lpush(LIST, *entries[start : start + 1000])


def wait_until_empty(valkey: Valkey, seconds: float = 40) -> None:
    """Until everything was moved and committed."""
    with valkey.client() as client:
        wait_for(lambda: client.llen(LIST) + client.llen(f"{PREFIX}:cut") == 0, "everything is moved", seconds)


def assert_once(found: list[str], expected: list[str]) -> None:
    counts = Counter(found)
    lost = [entry for entry in expected if entry not in counts]
    doubled = {entry: number for entry, number in counts.items() if number > 1}
    assert (lost[:5], len(lost), doubled) == ([], 0, {})
    assert len(found) == len(expected)


def test_entries_arrive_once_and_in_order(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    entries = [f"entry {number}" for number in range(3500)]
    push(valkey, entries)
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_until_empty(valkey)
    push(valkey, ["late"])
    wait_until_empty(valkey)
    assert payloads(pulsar, topic) == [*entries, "late"]
    assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success", namespace="test") == 3501
    assert running.metric("headrace_bridge_connected", side="pulsar", name="orders") == 1
    assert running.get("/livez") == (200, "ok\n")
    assert running.stop() == 0
    assert all(line.startswith("{") for line in running.log().splitlines()), running.log()


def test_keys_choose_partitions_as_javas_clients_do(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/keys-{uuid.uuid4().hex[:8]}", partitions=3)
    create_topic(pulsar, f"{topic}-DLQ")
    orders = [{"order": {"id": f"k{number % 40}"}, "number": number} for number in range(2000)]
    push(valkey, [json.dumps(order) for order in orders])
    sink = {"pulsar": {"topic": topic, "key": "order.id", "compression": "ZSTD"}}
    processes.start("bridge", bridge(valkey, pulsar, topic, sink=sink)).wait_until_ready()
    wait_until_empty(valkey)
    by_key: dict[str, list[int]] = {}
    for message in read_topic(pulsar, topic):
        key = message.partition_key()
        assert int(message.topic_name().rpartition("-")[2]) == java_string_hash(key) % 3
        by_key.setdefault(key, []).append(json.loads(message.data())["number"])
    assert sum(map(len, by_key.values())) == 2000
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


def test_keys_of_python_s_producers_meet_ours_with_the_router_alone(pulsar: Pulsar) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/keys-{uuid.uuid4().hex[:8]}", partitions=4)
    keys = [f"order-{number}" for number in range(20)]

    def chosen(**options: Any) -> list[int]:
        with producer(pulsar, topic, batched=False, **options) as sender:
            return [sender.send(b"", partition_key=key).partition() for key in keys]

    ours = [Target(topic, 4).partition_of(key, 0) for key in keys]
    assert ours == [java_string_hash(key) % 4 for key in keys]
    assert chosen(message_router=lambda message, count: java_string_hash(message.partition_key()) % count) == ours
    assert chosen() != ours  # docs/dataplane.md says so


def test_p7_bad_entries_become_dead_letters(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    large = json.dumps({"id": "large", "text": "x" * (5 * 1024 * 1024)})
    push(valkey, ['{"id": "a"}', "no json", '{"other": 1}', large, '{"id": "b"}'])
    sink = {"pulsar": {"topic": topic, "key": "id"}}
    running = processes.start("bridge", bridge(valkey, pulsar, topic, sink=sink)).wait_until_ready()
    wait_until_empty(valkey)
    assert payloads(pulsar, topic) == ['{"id": "a"}', '{"id": "b"}']
    letters = {message.properties()["HEADRACE_REASON"]: message for message in read_topic(pulsar, f"{topic}-DLQ")}
    assert letters.keys() == {"InvalidJSON", "KeyMissing", "MessageTooLarge"}
    assert letters["InvalidJSON"].data() == b"no json"
    assert letters["MessageTooLarge"].data().decode() == large
    assert "5242880" in letters["MessageTooLarge"].properties()["HEADRACE_ERROR"]
    assert letters["KeyMissing"].properties()["HEADRACE_ERROR"] == "the payload has no id."
    assert letters["KeyMissing"].properties()["HEADRACE_SOURCE"] == "PulsarBridge/test/orders"
    assert running.metric("headrace_bridge_dead_letters_total", reason="MessageTooLarge") == 1


def test_p7_a_message_larger_than_this_broker_takes_is_found_out(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    large = os.urandom(3 * 1024 * 1024).hex()
    push(valkey, ["before", large, "after"])
    limits = {"HEADRACE_MAX_MESSAGE_BYTES": str(64 * 1024 * 1024)}
    document = bridge(valkey, pulsar, topic, sink={"pulsar": {"topic": topic, "compression": "None"}})
    processes.start("bridge", document, environment=limits).wait_until_ready()
    wait_until_empty(valkey)
    assert payloads(pulsar, topic) == ["before", "after"]
    assert payloads(pulsar, f"{topic}-DLQ") == [large]


def test_outbox_records(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    letter = {
        "type": "DeadLetter",
        "payloadBase64": "AP8=",
        "key": None,
        "properties": {
            "REAL_TOPIC": "persistent://a/b/c",
            "ORIGIN_MESSAGE_ID": "1:2:3",
            "HEADRACE_SOURCE": "ValkeyWorker/a/b",
        },
        "reason": "Refused",
        "error": "no",
        "attempts": 3,
    }
    result = {
        "type": "Result",
        "payload": {"n": 1},
        "key": "k",
        "properties": {"traceparent": "00-a", "HEADRACE_CUT": "of another bridge"},
        "eventTimeMillis": 77,
    }
    push(
        valkey,
        [json.dumps(result), json.dumps(letter), "broken", '{"type": "Other", "payload": 1}', '{"type": "Result"}'],
    )
    source = {"valkey": {"list": {"key": LIST, "format": "Outbox"}}}
    processes.start("bridge", bridge(valkey, pulsar, topic, source=source)).wait_until_ready()
    wait_until_empty(valkey)
    [message] = read_topic(pulsar, topic)
    assert (message.data(), message.partition_key(), message.event_timestamp()) == (b'{"n": 1}', "k", 77)
    properties = message.properties()
    assert re.fullmatch(r"PulsarBridge/test/orders@[0-9a-f]{16}:\d+-1:1", properties.pop("HEADRACE_CUT"))
    assert properties == {"traceparent": "00-a"}
    first, *others = read_topic(pulsar, f"{topic}-DLQ")
    assert first.data() == b"\x00\xff"
    properties = first.properties()
    assert re.fullmatch(r"PulsarBridge/test/orders@[0-9a-f]{16}/dead-letters:\d+-1:2", properties.pop("HEADRACE_CUT"))
    assert properties == {
        "REAL_TOPIC": "persistent://a/b/c",
        "ORIGIN_MESSAGE_ID": "1:2:3",
        "RECONSUMETIMES": "2",
        "HEADRACE_REASON": "Refused",
        "HEADRACE_ERROR": "no",
        "HEADRACE_ATTEMPTS": "3",
        "HEADRACE_SOURCE": "ValkeyWorker/a/b",
    }
    assert [each.properties()["HEADRACE_REASON"] for each in others] == ["InvalidRecord"] * 3
    assert others[0].data() == b"broken"


POINTS = {
    "after the cut": "headrace.bridge.cut:CutStore.next",
    "in the middle of sending": "headrace.bridge.publisher:_Writer.write#2",
    "after the second cut": "headrace.bridge.cut:CutStore.next#2",
    "in the middle of sending the second": "headrace.bridge.publisher:_Writer.write#5",
    "after sending, before the commit": "headrace.bridge.publisher:Transmission.wait",
    "after the commit, the next in flight": "headrace.bridge.cut:CutStore.commit",
    "later, after sending": "headrace.bridge.publisher:Transmission.wait#3",
}


@pytest.mark.parametrize("deduplication", [True, False], ids=["deduplication", "no deduplication"])
@pytest.mark.parametrize("point", POINTS)
def test_p1_p2_killed_at_any_point_nothing_is_lost_or_doubled(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, point: str, deduplication: bool
) -> None:
    # Without the broker's deduplication it is the end of the topic that tells what landed.
    name = f"persistent://public/default/kill-{uuid.uuid4().hex[:8]}"
    topic = create_topic(pulsar, name, partitions=2, deduplication=deduplication)
    create_topic(pulsar, f"{topic}-DLQ", deduplication=deduplication)
    # of a size that three and a half cuts hold
    entries = [
        json.dumps({"id": f"k{number}", "padding": "." * 1100}) if number % 100 else f"poison {number}"
        for number in range(3200)
    ]
    push(valkey, entries)
    document = bridge(valkey, pulsar, topic, sink={"pulsar": {"topic": topic, "key": "id"}})
    dying = processes.start("bridge", document, deadly=POINTS[point])
    assert dying.process.wait(30) == -signal.SIGKILL
    assert_expiring_lease(valkey)
    processes.start("bridge", document)
    wait_until_empty(valkey)
    assert_once(payloads(pulsar, topic) + payloads(pulsar, f"{topic}-DLQ"), entries)
    assert len(read_topic(pulsar, f"{topic}-DLQ")) == 32


@pytest.mark.parametrize("point", ["@before", ""], ids=["before the commit", "after the commit"])
def test_p2_what_pulsar_has_is_announced_once_through_a_crash(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, point: str
) -> None:
    entries = [json.dumps({"id": f"k{number}"}) for number in range(300)]
    push(valkey, [*entries[:150], "poison", *entries[150:]])
    sink = {"topic": topic, "key": "id", "announce": {"channel": "news"}, "batching": {"maxMessages": 100}}
    document = bridge(valkey, pulsar, topic, sink={"pulsar": sink})
    with valkey.client() as client, client.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe("news")
        assert subscriber.get_message(timeout=10) is None  # the confirmation
        dying = processes.start("bridge", document, deadly=f"headrace.bridge.cut:CutStore.commit{point}#2")
        assert dying.process.wait(30) == -signal.SIGKILL
        assert_expiring_lease(valkey)
        survivor = processes.start("bridge", document)
        wait_until_empty(valkey)
        heard = [subscriber.get_message(timeout=10) for _ in entries]
        assert [message and message["data"] for message in heard] == entries
        assert subscriber.get_message(timeout=0.2) is None
        subscriber.unsubscribe()
        wait_for(lambda: client.pubsub_numsub("news")[0][1] == 0, "nobody listens")
        push(valkey, ['{"id": "unheard"}'])
        wait_until_empty(valkey)
    wait_for(lambda: survivor.metric("headrace_bridge_unheard_total") == 1, "it counts what nobody heard")
    assert_once(payloads(pulsar, topic), [*entries, '{"id": "unheard"}'])


def assert_expiring_lease(valkey: Valkey) -> None:
    """A killed holder's lease ends by itself; the tests end it now, to save the seconds."""
    with valkey.client() as client:
        assert 0 < client.pttl(f"{PREFIX}:lease") <= 6_000
        client.delete(f"{PREFIX}:lease")


def test_p2_one_replica_works_and_the_other_takes_over(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    first = processes.start("bridge", document).wait_until_ready()
    second = processes.start("bridge", document).wait_until_ready()
    entries = [f"entry {number}" for number in range(1000)]
    push(valkey, entries[:500])
    wait_until_empty(valkey)
    assert moved(first) == 500
    assert moved(second) == 0
    first.kill()
    push(valkey, entries[500:])
    wait_until_empty(valkey)
    assert moved(second) == 500
    assert_once(payloads(pulsar, topic), entries)


def test_p2_a_replica_that_was_frozen_does_no_harm(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    frozen = processes.start("bridge", document).wait_until_ready()
    second = processes.start("bridge", document).wait_until_ready()
    push(valkey, ["first"])
    wait_until_empty(valkey)
    entries = [f"entry {number}" for number in range(20_000)]
    push(valkey, entries)
    frozen.signal(signal.SIGSTOP)
    wait_until_empty(valkey)
    assert moved(second) > 0
    frozen.signal(signal.SIGCONT)
    wait_for(lambda: "another replica" in frozen.log(), "it noticed")
    push(valkey, ["last"])
    wait_until_empty(valkey)
    assert_once(payloads(pulsar, topic), ["first", *entries, "last"])


def test_p2_sigterm_finishes_and_hands_over_at_once(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    entries = [f"entry {number}" for number in range(60_000)]
    push(valkey, entries)
    document = bridge(valkey, pulsar, topic)
    running = processes.start("bridge", document)
    wait_for(lambda: len(running.log()) and running.get("/metrics")[0] == 200 and moved(running), "it works")
    assert running.stop() == 0
    with valkey.client() as client:
        assert client.llen(f"{PREFIX}:cut") == 0
        assert client.exists(f"{PREFIX}:lease") == 0
        assert client.llen(LIST) > 0
    processes.start("bridge", document)
    wait_until_empty(valkey)
    assert payloads(pulsar, topic) == entries


def test_p1_valkey_that_lost_its_memory_does_not_hide_new_messages(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    running = processes.start("bridge", document).wait_until_ready()
    push(valkey, [f"old {number}" for number in range(100)])
    wait_until_empty(valkey)
    running.stop()
    with valkey.client() as client:
        client.flushall()  # our ids begin again, and the broker knows higher ones
    processes.start("bridge", document)
    push(valkey, ["new"])
    wait_until_empty(valkey)
    assert payloads(pulsar, topic)[100:] == ["new"]


def moved(process: Headrace) -> int:
    return int(process.metric("headrace_bridge_forwarded_total", status="success"))
