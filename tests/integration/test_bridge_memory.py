"""How much memory a bridge takes that cannot move its messages on."""

import os
import re
import uuid
from pathlib import Path

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, connections, create_topic, producer, resource, wait_for

SUBSCRIPTION = "shop"
MEBIBYTE = 1024 * 1024
LARGE, COUNT, PARTITIONS = 512 * 1024, 1000, 4


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/memory-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return create_topic(pulsar, name, partitions=PARTITIONS)


def send(pulsar: Pulsar, topic: str, payload: bytes, count: int) -> None:
    with producer(pulsar, topic, batched=False) as sender:
        for _ in range(count):
            sender.send_async(payload, lambda *_: None)
        sender.flush()


def most_resident(running: Headrace) -> int:
    """The most memory that it had at any time, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.process.pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


@pytest.mark.parametrize("waiting", [True, False], ids=["large ones wait", "small ones were before"])
def test_what_is_received_in_advance_takes_a_bounded_part_of_memory(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, waiting: bool
) -> None:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}},
        "sink": {"valkey": {"list": {"key": "files", "maxDepth": 20}}},
        **connections(valkey, pulsar),
    }
    payload = os.urandom(LARGE // 2).hex().encode()
    if waiting:
        send(pulsar, topic, payload, COUNT)
    else:
        send(pulsar, topic, b"small", 200)
    running = processes.start("bridge", resource("PulsarBridge", "files", spec)).wait_until_ready()
    with valkey.client() as client:
        wait_for(lambda: client.llen("files") == 20, "the list is full", 60)
        if not waiting:
            send(pulsar, topic, payload, COUNT)
            wait_for(lambda: "takes too much memory" in running.log(), "it notices", 60)
        total = COUNT + (0 if waiting else 200)
        taken = 0
        while taken < total:
            taken += len(client.lpop("files", 20) or [])
        assert client.llen("files") == 0
    # all of it would be 500 MiB; what comes while the bridge still believes in small ones depends on the machine
    assert most_resident(running) < (200 if waiting else 400), "MiB"
