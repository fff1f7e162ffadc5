"""Producers that neither lose nor double anything themselves: numbered messages, each known to be accepted once."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pulsar
import valkey

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults.network import PATIENCE_SECONDS
from tests.integration.dataplane import wait_for

BURST = 10
KEYS = 13


def payload(number: int) -> str:
    """The message of that number."""
    return json.dumps({"id": number, "key": key_of(number)})


def key_of(number: int) -> str:
    """The key of the message of that number."""
    return f"k{number % KEYS}"


class Traffic(ABC):
    """Sends messages 1, 2, 3, … at some *rate* a second in a thread, until it is left."""

    def __init__(self, rate: int) -> None:
        self.accepted = 0
        """How many messages the broker has confirmed."""
        self.rate = rate
        self._pause = BURST / rate
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic")

    def wait_for(self, offset: int) -> None:
        """Wait until that many messages are accepted."""
        wait_for(lambda: self.accepted >= offset or self._error, f"message {offset} is accepted", PATIENCE_SECONDS)
        self._raise()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise AssertionError("the producer itself failed") from self._error

    def _run(self) -> None:
        try:
            self._produce()
        except BaseException as error:  # shown by whoever waits for the traffic
            self._error = error

    @abstractmethod
    def _produce(self) -> None:
        """Send until the stop; return when the fate of all is known, and `accepted` is the number of the last."""


PUSH = """
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then
  return 0
end
for index = 2, #ARGV do
  %s
end
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""
"""Pushes a burst unless its number was pushed before: it can be tried until an answer comes."""
LIST_PUSH = PUSH % "redis.call('LPUSH', KEYS[1], ARGV[index])"
STREAM_PUSH = PUSH % "redis.call('XADD', KEYS[1], '*', 'payload', ARGV[index])"


class ValkeyTraffic(Traffic):
    """Pushes to a list or a stream. The marker beside it tells what became of a push without an answer."""

    def __init__(self, server: Valkey, key: str, rate: int, script: str, make: Callable[[int], str] = payload) -> None:
        """*make*: what stands for the message of a number."""
        super().__init__(rate)
        self._make = make
        self._script = script
        self._server = server
        self._key = key

    def _produce(self) -> None:
        with self._server.client() as client:
            push = client.register_script(self._script)
            while not self._stop.wait(self._pause):
                last = self.accepted + BURST
                entries = [self._make(number) for number in range(self.accepted + 1, last + 1)]
                self._push(push, [last, *entries])
                self.accepted = last

    def _push(self, push: Any, arguments: list[str | int]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                push(keys=[self._key, f"producer-of-{self._key}"], args=arguments)
            except valkey.ValkeyError:  # away, or it refuses, and then nothing was done
                if time.monotonic() > deadline:
                    raise
                self._stop.wait(0.05)
            else:
                return


class TopicTraffic(Traffic):
    """Publishes to a topic with deduplication, by a named producer that resends for ever with the same ids."""

    def __init__(self, broker: Pulsar, topic: str, rate: int) -> None:
        super().__init__(rate)
        self._broker = broker
        self._topic = topic
        self._sent = 0
        self._paused = threading.Event()
        self._idle = threading.Event()
        self._refused: list[str] = []

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Send nothing meanwhile, and have no producer; all that was sent is accepted."""
        self._paused.set()
        try:
            wait_for(lambda: self._idle.is_set() or self._error, "the producer pauses", PATIENCE_SECONDS)
            self._raise()
            yield
        finally:
            self._paused.clear()

    def _produce(self) -> None:
        logger = pulsar.FileLogger(pulsar.LoggerLevel.Error, str(self._broker.directory / "producer.log"))
        while not self._stop.is_set():
            client = pulsar.Client(self._broker.service_url, logger=logger)
            try:
                self._produce_with(client)
            finally:
                client.close()
            self._idle.set()
            while self._paused.is_set() and not self._stop.wait(0.01):
                pass
            self._idle.clear()

    def _produce_with(self, client: pulsar.Client) -> None:
        producer = client.create_producer(
            self._topic, producer_name="crash-test", send_timeout_millis=0, batching_enabled=True
        )
        while not self._stop.wait(self._pause) and not self._paused.is_set():
            if self._sent - self.accepted < 50 * BURST:  # else the broker is away
                self._send(producer)
            assert not self._refused, self._refused
        wait_for(lambda: self.accepted == self._sent, "the broker confirms everything", PATIENCE_SECONDS)

    def _send(self, producer: pulsar.Producer) -> None:
        for number in range(self._sent + 1, self._sent + BURST + 1):
            producer.send_async(
                payload(number).encode(), self._on_answer, partition_key=key_of(number), sequence_id=number
            )
            self._sent = number

    def _on_answer(self, result: object, _: object) -> None:
        """Called in the one thread of the client."""
        if result == pulsar.Result.Ok:
            self.accepted += 1
        else:
            self._refused.append(str(result))
