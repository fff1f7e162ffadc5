"""One call reaches a channel and a topic, with real brokers and real kills."""

import json
import random
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from headrace.bridge import Publication, hybrid_publish, hybrid_publish_async
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    ROOT,
    Processes,
    connections,
    create_topic,
    payloads,
    read_topic,
    resource,
    wait_for,
)
from tests.integration.publishing import CHANNEL, OUTBOX

KILLS = 12


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": OUTBOX, "format": "Outbox"}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "news", spec)


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/hybrid-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return create_topic(pulsar, name)


class Subscriber:
    """Hears a channel."""

    def __init__(self, server: Valkey) -> None:
        self._client = server.client()
        self._client.connection_pool.connection_kwargs["decode_responses"] = False
        self._subscription = self._client.pubsub(  # type: ignore[no-untyped-call]
            ignore_subscribe_messages=True
        )
        self._subscription.subscribe(CHANNEL)
        self._subscription.get_message(timeout=5)  # the server's word that it stands

    def heard(self) -> list[bytes]:
        """What came since the last look."""
        found = []
        while (message := self._subscription.get_message(timeout=0.2)) is not None:
            found.append(message["data"])
        return found


@pytest.mark.parametrize("library", [valkey.Valkey, redis.Redis], ids=["valkey-py", "redis-py"])
def test_p2_a_call_reaches_both_sides_once(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, library: Any
) -> None:
    subscriber = Subscriber(valkey)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    with library(port=valkey.port, decode_responses=True) as client:

        def publish(payload: Any, **more: Any) -> Publication:
            return hybrid_publish(client, payload, channel=CHANNEL, outbox=OUTBOX, **more)

        order = {"id": 2**70, "price": 1e2, "name": "Käse"}
        assert publish(order, key="k", properties={"a": "ä"}, event_time=at) == Publication(True, 1)
        assert publish(b"\x00\xff", message_id="x") == Publication(True, 1)
        assert publish(b"\x00\xff", message_id="x") == Publication(False, 0)
        assert publish(None) == Publication(True, 1)
    processes.start("bridge", bridge(valkey, pulsar, topic))
    first, *others = wait_for(lambda: found if len(found := read_topic(pulsar, topic)) == 3 else [], "messages")
    assert json.loads(first.data()) == order
    assert (first.partition_key(), first.event_timestamp()) == ("k", 1795219200000)
    assert first.properties()["a"] == "ä"
    assert [each.data() for each in others] == [b"\x00\xff", b"null"]
    assert subscriber.heard() == [first.data(), b"\x00\xff", b"null"]


def test_p1_whatever_a_call_takes_becomes_a_message(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    room = 5 * 1024 * 1024 - 1024
    calls: list[dict[str, Any]] = [
        {"payload": b""},
        {"payload": bytes(room)},
        {"payload": bytes(room - 4), "key": "k"},
        {"payload": b"long", "key": "\U0001f600" * 30_000, "properties": {"a": "\U0001f600" * 35_535}},
        {"payload": b"odd", "key": "\0", "properties": {"": "", "\0": "\n", "REAL_TOPIC": "x", "é": "\u2028"}},
        {"payload": b"first", "event_time": datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)},
        {"payload": b"last", "event_time": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
    ]
    with valkey.client() as client:
        for call in calls:
            hybrid_publish(client, channel=CHANNEL, outbox=OUTBOX, **call)
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    found = wait_for(lambda: found if len(found := read_topic(pulsar, topic)) == len(calls) else [], "messages", 60)
    for call, message in zip(calls, found, strict=True):
        assert (message.data(), message.partition_key()) == (call["payload"], call.get("key", ""))
        wanted = call.get("properties", {})
        assert {name: text for name, text in message.properties().items() if name in wanted} == wanted
        if (at := call.get("event_time")) is not None:
            assert message.event_timestamp() == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert read_topic(pulsar, f"{topic}-DLQ") == []
    assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success") == len(calls)


@pytest.mark.parametrize("library", [valkey.asyncio.Valkey, redis.asyncio.Redis], ids=["valkey-py", "redis-py"])
async def test_p2_the_same_with_asyncio(valkey: Valkey, library: Any) -> None:
    async with library(port=valkey.port) as client:
        call: dict[str, Any] = {"channel": CHANNEL, "outbox": OUTBOX, "message_id": "x"}
        assert await hybrid_publish_async(client, [1], **call) == Publication(True, 0)
        assert await hybrid_publish_async(client, [1], **call) == Publication(False, 0)
        assert await client.llen(OUTBOX) == 1


def test_p1_what_one_side_refuses_reaches_neither(valkey: Valkey) -> None:
    subscriber = Subscriber(valkey)
    with valkey.client() as client:
        call: dict[str, Any] = {"channel": CHANNEL, "outbox": OUTBOX, "message_id": "x"}
        client.set(OUTBOX, "no list")
        with pytest.raises(Exception, match="WRONGTYPE"):
            hybrid_publish(client, 1, **call)
        client.delete(OUTBOX)
        client.execute_command("ACL", "SETUSER", "caller", "on", ">secret", "~*", "+@all", "resetchannels")
        client.execute_command("AUTH", "caller", "secret")
        with pytest.raises(Exception, match="may not run PUBLISH on the channel"):
            hybrid_publish(client, 2, **call)
        assert client.keys("*") == []
        client.execute_command("ACL", "SETUSER", "caller", "allchannels")
        assert hybrid_publish(client, 3, **call).queued
    assert subscriber.heard() == [b"3"]


def test_p1_p2_a_caller_that_is_killed_leaves_no_difference_between_the_sides(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, tmp_path: Path
) -> None:
    subscriber = Subscriber(valkey)
    processes.start("bridge", bridge(valkey, pulsar, topic))
    random_number = random.Random(20261121)
    heard: list[bytes] = []
    answered = -1
    for _ in range(KILLS):
        caller = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.publishing", str(valkey.port), str(answered + 1)],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"},
            stdout=subprocess.PIPE,
        )
        assert caller.stdout is not None
        with caller.stdout:
            for _ in range(random_number.randint(1, 300)):
                caller.stdout.readline()
            time.sleep(random_number.uniform(0, 0.005))  # at any moment of a call, not always right after one
            caller.kill()
            caller.wait(10)
            # the last line may be cut off in its middle: a call that answered and is made again
            lines = caller.stdout.read().decode().split("\n")[:-1]
        heard += subscriber.heard()
        answered = max(int(lines[-1]) if lines else answered, answered)
    numbers = [int(each) for each in heard]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= answered + 1
    with valkey.client() as client:
        cut = "headrace:{test/news}:cut"
        wait_for(lambda: client.llen(OUTBOX) + client.llen(cut) == 0, "everything is moved")
    assert payloads(pulsar, topic) == [str(number) for number in numbers]
