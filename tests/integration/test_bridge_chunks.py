"""Messages larger than the broker takes, with real brokers and real processes."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_topic,
    entries_added,
    keep,
    payloads,
    producer,
    publish,
    resource,
    unload,
    wait_for,
)

LIST = "files"
PREFIX = "headrace:{test/files}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/chunks-{uuid.uuid4().hex[:8]}"
    for topic in (name, f"{name}-DLQ"):
        keep(pulsar, create_topic(pulsar, topic))
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, *, chunking: bool) -> dict[str, Any]:
    sink = {"topic": topic, "compression": "None", **({"chunking": True} if chunking else {})}
    spec = {
        "source": {"valkey": {"list": {"key": LIST}}},
        "sink": {"pulsar": sink},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "files", spec)


def large(mebibytes: int) -> str:
    return os.urandom(mebibytes * 512 * 1024).hex()


def moved(valkey: Valkey) -> bool:
    with valkey.client() as client:
        return int(client.llen(LIST) + client.llen(f"{PREFIX}:cut")) == 0


def test_large_messages_go_in_chunks_between_their_neighbours(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, tmp_path: Path
) -> None:
    entries = ["a", "b", large(6), "c", large(11), large(6), "d"]
    with valkey.client() as client:
        client.lpush(LIST, *entries)
    running = processes.start("bridge", bridge(valkey, pulsar, topic, chunking=True))
    wait_for(lambda: moved(valkey), "everything is moved")
    assert payloads(pulsar, topic) == entries
    assert payloads(pulsar, f"{topic}-DLQ") == []
    assert running.metric("headrace_bridge_forwarded_total", topic=topic, status="success") == len(entries)


@pytest.mark.parametrize("chunking", [True, False], ids=["sink", "dead letters"])
def test_p1_p2_killed_between_two_chunks_nothing_is_lost_or_doubled(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, chunking: bool
) -> None:
    whole = large(40)
    with valkey.client() as client:
        client.lpush(LIST, "before", whole, "after")
    target = topic if chunking else f"{topic}-DLQ"
    document = bridge(valkey, pulsar, topic, chunking=chunking)
    dying = processes.start("bridge", document)
    first = 1 if chunking else 0
    wait_for(lambda: entries_added(pulsar, target) > first, "the first chunk")
    dying.kill()
    torso = entries_added(pulsar, target) - first
    assert torso < 8, "it was killed too late"
    # A broker that loads the topic again takes the torso for the whole message.
    unload(pulsar, target)
    publish(pulsar, target, [b"of another producer"])  # a reader does not wait for the rest of the torso
    with valkey.client() as client:
        client.delete(f"{PREFIX}:lease")
    processes.start("bridge", document)
    wait_for(lambda: moved(valkey), "everything is moved")
    own = ["before", "of another producer", whole, "after"] if chunking else ["of another producer", whole]
    found = payloads(pulsar, target)
    assert [len(each) for each in found] == [len(each) for each in own]
    assert found == own
    assert chunking or payloads(pulsar, topic) == ["before", "after"]


def test_p1_a_topic_that_moves_between_two_chunks_loses_nothing(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    entries = ["before", large(40), "after"]
    with valkey.client() as client:
        client.lpush(LIST, *entries)
    running = processes.start("bridge", bridge(valkey, pulsar, topic, chunking=True))
    wait_for(lambda: entries_added(pulsar, topic) > 1, "the first chunk")
    unload(pulsar, topic)
    with producer(pulsar, topic) as other:

        def all_moved() -> bool:
            other.send(b"of another producer")  # so that a reader does not wait for the rest of a torso
            return moved(valkey)

        wait_for(all_moved, "everything is moved", 60)
    found = [payload for payload in payloads(pulsar, topic) if payload != "of another producer"]
    assert [len(payload) for payload in found] == [len(entry) for entry in entries]
    assert found == entries, running.log()
