"""What Headrace is compared with, each in a process of its own: ``python -m tests.bench.contender NAME JSON``.

Ceilings use the client libraries in the fastest way we know and keep none of Headrace's promises: no in-flight list, no
ids, no commit, no watermark. What they hold when they are killed is lost or comes twice. The naive ones are what a
first version of such a bridge looks like.

The outward ones time themselves, from the first confirmation of the broker to the last, and print one line of JSON:
messages confirmed after the first confirmation, seconds, and seconds of CPU. The inward ones run until they are ended;
how far they are shows in the length of their list.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import _pulsar as core
import pulsar
import valkey

NEVER_MILLISECONDS = 24 * 3600 * 1000
LARGEST_FRAME_BYTES = 64 * 1024 * 1024

# A client that Python frees waits some 10 s for its own threads; these processes end without that.
_kept: list[Any] = []


def client_of(url: str) -> valkey.Valkey:
    """A client as the bridge has it: answers in bytes, parsed by libvalkey."""
    parts = urlsplit(url)
    return valkey.Valkey(host=parts.hostname or "localhost", port=parts.port or 6379, socket_timeout=10)


def quiet_client(service_url: str) -> Any:
    """A Pulsar client that writes errors only, to standard error."""
    client = pulsar.Client(service_url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/stderr"))
    _kept.append(client)
    return client


class Confirmations:
    """Counts confirmed messages and keeps the times of the first and the last confirmation."""

    def __init__(self) -> None:
        self._first: tuple[float, float, int] | None = None
        self.count = 0

    def add(self, messages: int) -> None:
        """*messages* more are confirmed, now."""
        self.count += messages
        if self._first is None:
            self._first = (time.monotonic(), time.process_time(), messages)

    def report(self) -> None:
        """Print the line of JSON; call it at the last confirmation."""
        assert self._first is not None
        began, cpu, messages = self._first
        line = {
            "messages": self.count - messages,
            "seconds": time.monotonic() - began,
            "cpu": time.process_time() - cpu,
        }
        sys.stdout.write(json.dumps(line) + "\n")


def _producer(client: Any, topic: str, cut: int) -> Any:
    """A producer that cuts a frame after *cut* messages and never by size or time."""
    return client.create_producer(
        topic,
        send_timeout_millis=0,
        compression_type=pulsar.CompressionType.LZ4,  # Headrace's default
        max_pending_messages=4 * cut,
        block_if_queue_full=True,
        batching_enabled=True,
        batching_max_messages=cut,
        batching_max_allowed_size_in_bytes=LARGEST_FRAME_BYTES,
        batching_max_publish_delay_ms=NEVER_MILLISECONDS,
    )


def outward_cuts(
    valkey_url: str, service_url: str, source: str, topic: str, messages: int, cut: int, in_flight: int
) -> None:
    """The ceiling: pop *cut* messages by one command, send them as one frame with one callback; *in_flight* frames."""
    producer = _producer(quiet_client(service_url), topic, cut)
    send = producer._producer.send_async
    store = client_of(valkey_url)
    confirmed, room = Confirmations(), threading.Semaphore(in_flight)
    builder = core.MessageBuilder

    def sent(count: int) -> Callable[[Any, Any], None]:
        def on_sent(result: Any, _: Any) -> None:
            assert result == core.Result.Ok, result
            confirmed.add(count)
            room.release()

        return on_sent

    for _ in range(messages // cut):
        room.acquire()
        entries: Any = store.rpop(source, cut)
        for entry in entries[:-1]:
            send(builder().content(entry).build(), None)
        send(builder().content(entries[-1]).build(), sent(len(entries)))
    for _ in range(in_flight):
        room.acquire()
    confirmed.report()


def outward_callbacks(valkey_url: str, service_url: str, source: str, topic: str, messages: int) -> None:
    """Naive: pop 1000, ``send_async`` with a callback each, the client's own batching; nothing is waited for."""
    producer = quiet_client(service_url).create_producer(
        topic, batching_enabled=True, block_if_queue_full=True, compression_type=pulsar.CompressionType.LZ4
    )
    store, confirmed, done = client_of(valkey_url), Confirmations(), threading.Event()

    def on_sent(result: Any, _: Any) -> None:
        assert result == core.Result.Ok, result
        confirmed.add(1)
        if confirmed.count == messages:
            done.set()

    for _ in range(messages // 1000):
        entries: Any = store.rpop(source, 1000)
        for entry in entries:
            producer.send_async(entry, on_sent)
    producer.flush()
    done.wait()
    confirmed.report()


def outward_send(valkey_url: str, service_url: str, source: str, topic: str, messages: int) -> None:
    """Naive: pop one, ``send`` it, wait for the broker, the next."""
    producer = quiet_client(service_url).create_producer(topic, compression_type=pulsar.CompressionType.LZ4)
    store, confirmed = client_of(valkey_url), Confirmations()
    for _ in range(messages):
        entry: Any = store.rpop(source)
        producer.send(entry)
        confirmed.add(1)
    confirmed.report()


def inward_batches(valkey_url: str, service_url: str, topic: str, subscription: str, target: str, batch: int) -> None:
    """The ceiling: receive *batch* messages, push them by one command, acknowledge the last one for all."""
    consumer = quiet_client(service_url).subscribe(
        topic,
        subscription,
        consumer_type=pulsar.ConsumerType.Failover,
        initial_position=pulsar.InitialPosition.Earliest,
        receiver_queue_size=2 * batch,
        batch_receive_policy=pulsar.ConsumerBatchReceivePolicy(batch, LARGEST_FRAME_BYTES, 100),
    )
    core_consumer = consumer._consumer
    store = client_of(valkey_url)
    while True:
        messages = core_consumer.batch_receive()
        if messages:
            store.lpush(target, *[message.data() for message in messages])
            core_consumer.acknowledge_cumulative(messages[-1].message_id())


def inward_single(valkey_url: str, service_url: str, topic: str, subscription: str, target: str) -> None:
    """Naive: receive one, push it, acknowledge it."""
    consumer = quiet_client(service_url).subscribe(
        topic,
        subscription,
        consumer_type=pulsar.ConsumerType.Failover,
        initial_position=pulsar.InitialPosition.Earliest,
    )
    store = client_of(valkey_url)
    while True:
        message = consumer.receive()
        store.lpush(target, message.data())
        consumer.acknowledge(message)


CONTENDERS: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (outward_cuts, outward_callbacks, outward_send, inward_batches, inward_single)
}

if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](**json.loads(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # everything is confirmed: the client's threads need not be waited for
