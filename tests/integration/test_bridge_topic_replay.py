"""Replays of source topics, with real brokers and real processes."""

import json
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_subscription,
    create_topic,
    payloads,
    publish,
    read_topic,
    resource,
    wait_for,
)
from tests.integration.replay_run import RUN, counts, end_leases, run, wait_for_phase


@pytest.fixture
def source(pulsar: Pulsar) -> str:
    """The source of a bridge from Pulsar, with two partitions and its dead-letter topic."""
    name = create_topic(pulsar, f"persistent://public/default/replay-{uuid.uuid4().hex[:8]}", partitions=2)
    create_topic(pulsar, f"{name}-shop-DLQ")
    create_subscription(pulsar, f"{name}-shop-DLQ", DEAD_LETTER_SUBSCRIPTION)
    return name


def inward(valkey: Valkey, pulsar: Pulsar, source: str, sink: dict[str, Any], **replay: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": source, "subscription": "shop"}},
        "sink": {"valkey": sink},
        "deduplicate": {"key": "id"},
        **connections(valkey, pulsar),
    }
    if replay:
        spec["replay"] = {"id": "a", **replay}
    return resource("PulsarBridge", "orders", spec)


def entries(valkey: Valkey) -> list[str]:
    with valkey.client() as client:
        found: list[str] = client.lrange("events", 0, -1)
    return found[::-1]


def events(first: int, last: int) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, last)]


def test_p1_p2_a_topic_is_moved_once_more_through_kills_while_new_messages_come(
    valkey: Valkey, pulsar: Pulsar, source: str, processes: Processes
) -> None:
    """The bridge goes on meanwhile: what it moves is no part of the replay, and the window swallows nothing of it."""
    publish(pulsar, source, events(0, 3000))
    sink = {"list": {"key": "events"}}
    first = processes.start("bridge", inward(valkey, pulsar, source, sink)).wait_until_ready()
    wait_for(lambda: len(entries(valkey)) == 3000, "all arrived")
    first.stop()
    document = inward(valkey, pulsar, source, sink, **{"from": "Earliest"})
    for number, point in enumerate(
        (
            f"{RUN}.settle@before",
            f"{RUN}.settle",
            "headrace.bridge.position_replay:PositionReplay._take@before#2",
            f"{RUN}.end@before",
        )
    ):
        doomed = processes.start("bridge", document, deadly=point)
        wait_for(lambda doomed=doomed: doomed.process.poll() is not None, f"it dies at {point}", 60)  # type: ignore[misc]
        publish(pulsar, source, events(10_000 + number, 10_001 + number))
        end_leases(valkey)
    processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert counts(valkey) == (3000, 3000, 0, 0)
    wait_for(lambda: len(entries(valkey)) == 6004, "the new ones arrived too")
    found = Counter(json.loads(each)["id"] for each in entries(valkey))
    assert {found[number] for number in range(3000)} == {2}


def test_a_replay_from_a_time_or_a_message_makes_tasks_of_its_own(
    valkey: Valkey, pulsar: Pulsar, source: str, processes: Processes
) -> None:
    publish(pulsar, source, events(0, 2))
    newest = max(message.publish_timestamp() for message in read_topic(pulsar, source))
    wait_for(lambda: time.time() * 1000 > newest + 1, "the clock goes on")
    moment = datetime.now(UTC).isoformat()
    publish(pulsar, source, events(2, 4), batched=False)
    sink = {"celery": {"task": "shop.price", "queue": "events"}}
    timed = inward(valkey, pulsar, source, sink, **{"from": "Timestamp", "time": moment, "match": "payload.id != `2`"})
    running = processes.start("bridge", timed).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert counts(valkey) == (1, 1, 1, 0)
    wait_for(lambda: len(entries(valkey)) == 5, "the bridge's own and the replayed")
    assert len({json.loads(each)["headers"]["id"] for each in entries(valkey)}) == 5
    running.stop()
    last = next(message for message in read_topic(pulsar, source) if json.loads(message.data())["id"] == 3)
    identity, partition = last.message_id(), last.topic_name().rsplit("-", 1)[1]
    place = f"{identity.ledger_id()}:{identity.entry_id()}:{partition}"
    one = inward(valkey, pulsar, source, sink, id="b", **{"from": "MessageId", "messageId": place})
    processes.start("bridge", one).wait_until_ready()
    wait_for_phase(valkey, "Completed", "b")
    assert counts(valkey, "b") == (1, 1, 0, 0)
    origins = [json.loads(each)["headers"]["headrace"]["messageId"] for each in entries(valkey)]
    assert origins.count(place) == 3


@pytest.mark.parametrize(
    ("replay", "problem"),
    [
        ({"from": "Timestamp", "time": "2999-01-01T00:00:00Z"}, "time lies in the future"),
        ({"from": "MessageId", "messageId": "1:2"}, "write messageId as 1:2:PARTITION"),
        ({"from": "MessageId", "messageId": "1:2:9"}, "the topic has no partition 9"),
    ],
)
def test_a_replay_that_cannot_be_carried_out_says_why(
    valkey: Valkey, pulsar: Pulsar, source: str, processes: Processes, replay: dict[str, Any], problem: str
) -> None:
    document = inward(valkey, pulsar, source, {"list": {"key": "events"}}, **replay)
    processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Failed")
    assert problem in run(valkey)["message"]


def test_p1_p8_a_message_that_cannot_be_moved_is_a_dead_letter_of_the_replay_too(
    valkey: Valkey, pulsar: Pulsar, source: str, processes: Processes
) -> None:
    publish(pulsar, source, [*events(0, 3), b"no JSON", *events(3, 6)])
    document = inward(valkey, pulsar, source, {"list": {"key": "events"}}, **{"from": "Earliest"})
    running = processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert counts(valkey) == (7, 6, 0, 1)
    wait_for(lambda: payloads(pulsar, f"{source}-shop-DLQ") == ["no JSON"] * 2, "the bridge's letter and the replay's")
    assert "trying again" not in running.log()
