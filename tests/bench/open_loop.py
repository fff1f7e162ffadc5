"""Senders and receivers of the bench, each in a process of its own: ``python -m tests.bench.open_loop NAME JSON``.

The load is an open loop: message *n* is due at ``start + n / rate``, whatever became of those before it, and its
latency counts from then. A bridge that stalls so pays for every message that was due meanwhile.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import _pulsar as core
import pulsar

from tests.bench.contender import client_of, quiet_client
from tests.bench.figure import percentile
from tests.bench.payload import Payload

STAMP_DIGITS = 20
RECEIVE_SECONDS = 5


def fill(service_url: str, topic: str, size: int, count: int) -> None:
    """Publish *count* messages of *size* bytes in batches as the client makes them: 128 KiB, 1000 messages, 10 ms."""
    client = quiet_client(service_url)
    producer = client.create_producer(
        topic, batching_enabled=True, block_if_queue_full=True, max_pending_messages=10_000
    )
    send = producer._producer.send_async
    for message in Payload("", size).messages(count):
        send(core.MessageBuilder().content(message).build(), None)
    producer.flush()


def send(
    rate: int, count: int, size: int, valkey_url: str = "", target: str = "", service_url: str = "", topic: str = ""
) -> None:
    """Send *count* messages at *rate* per second, to the list *target* or to *topic*."""
    write = _to_list(valkey_url, target) if target else _to_topic(service_url, topic)
    start = time.monotonic_ns() + 300_000_000
    rest = b"x" * (size - STAMP_DIGITS)
    for number in range(count):
        due = start + number * 1_000_000_000 // rate
        early = due - time.monotonic_ns()
        if early > 0:
            time.sleep(early / 1e9)
        write(f"{due:0{STAMP_DIGITS}d}".encode() + rest)
    time.sleep(0.5)  # the last messages are still on their way out of the client


def _to_list(valkey_url: str, target: str) -> Callable[[bytes], object]:
    store = client_of(valkey_url)
    store.ping()
    return lambda message: store.lpush(target, message)


def _to_topic(service_url: str, topic: str) -> Callable[[bytes], object]:
    producer = quiet_client(service_url).create_producer(topic, block_if_queue_full=True)
    return lambda message: producer._producer.send_async(core.MessageBuilder().content(message).build(), None)


def receive(
    count: int, skip: int, valkey_url: str = "", source: str = "", service_url: str = "", topic: str = ""
) -> None:
    """Say ``ready``, take *count* messages from the list *source* or from *topic*, print p50, p99 and the greatest
    latency in milliseconds, without the first *skip*."""
    read = _from_list(valkey_url, source) if source else _from_topic(service_url, topic)
    _say("ready")
    latencies = []
    for _ in range(count):
        message = read()
        latencies.append((time.monotonic_ns() - int(message[:STAMP_DIGITS])) / 1e6)
    found = latencies[skip:]
    _say(json.dumps({"p50": percentile(found, 0.5), "p99": percentile(found, 0.99), "max": max(found)}))


def _from_list(valkey_url: str, source: str) -> Callable[[], bytes]:
    store = client_of(valkey_url)

    def read() -> bytes:
        answer: Any = store.brpop([source], RECEIVE_SECONDS)
        assert answer is not None, "a message is missing"
        message: bytes = answer[1]
        return message

    return read


def _from_topic(service_url: str, topic: str) -> Callable[[], bytes]:
    reader = quiet_client(service_url).create_reader(topic, pulsar.MessageId.latest)

    def read() -> bytes:
        message: bytes = reader.read_next(1000 * RECEIVE_SECONDS).data()
        return message

    return read


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {each.__name__: each for each in (fill, send, receive)}[sys.argv[1]](**json.loads(sys.argv[2]))
    os._exit(0)  # the client's threads need not be waited for
