"""The way of letters back to topics: each is confirmed before anything counts it, and known again after a crash.

A message on its way back names its letter in the property ``HEADRACE_LETTER``; so the topic itself tells what arrived.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.api.bridge_sink import Compression
from headrace.bridge.chunks import arrived, first_and_last
from headrace.bridge.exact_producer import ExactProducer
from headrace.bridge.message import Message, metadata_bytes
from headrace.bridge.patience import Patience
from headrace.bridge.publisher import ALONE_BYTES, COMPRESSION, TOO_BIG, PublishError
from headrace.bridge.pulsar_client import build, partitions
from headrace.bridge.pulsar_library import (
    Client,
    IncompatibleSchemaError,
    MessageId,
    OwnSchema,
    Producer,
    PulsarError,
    core,
    properties_of,
)
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.routing import Target
from headrace.bridge.tail import messages_since
from headrace.process.letter_properties import LETTER, REPLAY

CLOSE_SECONDS = 5.0
KNOWN_SECONDS = 5.0
"""How long it is believed that a topic takes nothing."""

SEQUENCE_MARGIN = 1000
"""More than a killed process can have had under way."""

_OBSTACLES: dict[type[Exception], str] = {
    core.TopicNotFound: "does not exist",
    core.TopicTerminated: "was terminated, and takes no messages any more",
    core.AuthorizationError: "is not ours to write to: grant the right to produce",
    core.IncompatibleSchema: "takes no message without a schema: it enforces one",
    core.NotAllowedError: "is not allowed to be written to",
    core.InvalidTopicName: "is no name of a topic",
}
"""Why a topic takes nothing, where waiting would not help."""

_FINAL = {"TopicTerminated": _OBSTACLES[core.TopicTerminated], TOO_BIG: "takes no message of that size"}
"""What a topic answers to a message that will never arrive."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way back."""

    mark: str
    """Names its letter."""
    target: str
    """The topic."""
    message: Message


class WayBack:
    """Producers of one name; while one lives the broker admits no other of that name to its topic's partition.

    *exists*: whether there is a topic of that name; the client may make one that is missing. *waiting*: called about
    once a second, and may raise. Not shared between threads.
    """

    def __init__(
        self,
        client: Client,
        raw: RawTopics,
        name: str,
        compression: Compression,
        exists: Callable[[str], bool],
        waiting: Callable[[], None],
    ) -> None:
        self._client = client
        self._raw = raw
        self._exact: dict[str, ExactProducer] = {}
        self._name = name
        self._compression = COMPRESSION[compression]
        self._exists = exists
        self._waiting = waiting
        self._targets: dict[str, Target] = {}
        self._producers: dict[str, Producer] = {}
        self._obstacles: dict[str, tuple[float, str]] = {}
        self._enforcing: set[str] = set()
        """Topics that take no messages without a schema."""
        self._last_id = 0

    def obstacle(self, topic: str) -> str:
        """Why *topic* takes nothing, for good; empty when its producers are open. Raises ``PulsarError`` and what
        *exists* raises when it is not known."""
        if topic in self._targets:
            return ""
        since, text = self._obstacles.get(topic, (0.0, ""))
        if text and time.monotonic() - since < KNOWN_SECONDS:
            return text
        text = self._open(topic)
        if text:
            self._obstacles[topic] = time.monotonic(), text
        return text

    def missing(self, topic: str) -> str:
        """The same as far as it is seen without opening anything."""
        return "" if self._exists(topic) else f"{topic} {_OBSTACLES[core.TopicNotFound]}"

    def _open(self, topic: str) -> str:
        if text := self.missing(topic):
            return text
        try:
            target = Target(topic, partitions(self._client, topic))
            for partition in range(max(target.partitions, 1)):
                name = target.partition_topic(partition)
                if name not in self._producers:
                    self._producers[name] = self._first_producer(topic, name)
        except tuple(_OBSTACLES) as error:
            return f"{topic} {_OBSTACLES[type(error)]}"
        self._targets[topic] = target
        return ""

    def _first_producer(self, topic: str, partition: str) -> Producer:
        try:
            return self._producer(partition)
        except IncompatibleSchemaError:
            self._enforcing.add(topic)
            return self._producer(
                partition, schema=OwnSchema(self._client, partition)
            )  # it keeps others away, and sends nothing

    def _producer(self, topic: str, **options: Any) -> Producer:
        producer = self._client.create_producer(
            topic,
            producer_name=self._name,
            send_timeout_millis=0,
            compression_type=self._compression,
            block_if_queue_full=True,
            batching_enabled=False,
            chunking_enabled=True,
            **options,
        )
        # Ids that no earlier run gave: consumers would take the chunks of a message that was cut short for ours.
        self._last_id = max(self._last_id, int(producer.last_sequence_id()) + SEQUENCE_MARGIN)
        return producer

    def send(self, parcels: Sequence[Parcel]) -> dict[str, str]:
        """Send *parcels* to topics without an :meth:`obstacle`, in their order; why some will never arrive, by mark.

        All others have arrived. Raises :class:`PublishError` when it is not known of one.
        """
        refused = {
            parcel.mark: f"{parcel.target} {_OBSTACLES[core.IncompatibleSchema]}"
            for parcel in parcels
            if parcel.target in self._enforcing and parcel.message.header.schema is None
        }
        for run in _runs([parcel for parcel in parcels if parcel.mark not in refused]):
            refused |= self._send_exactly(run) if run[0].message.header else self._send(run)
        return refused

    def _send_exactly(self, parcels: Sequence[Parcel]) -> dict[str, str]:
        """Send what the library cannot write."""
        by_topic: dict[str, list[Parcel]] = {}
        for parcel in parcels:
            by_topic.setdefault(self._partition(parcel), []).append(parcel)
        refused = {}
        for topic, group in by_topic.items():
            if topic not in self._exact:
                self._exact[topic] = ExactProducer(self._raw, topic, f"{self._name}/exact", of_letters=False)
            self._waiting()
            try:
                landed = self._exact[topic].send([_marked(parcel) for parcel in group])
            except RAW_TROUBLE as error:
                raise PublishError(f"{topic} did not take a message: {error or type(error).__name__}") from None
            for parcel, place in zip(group, landed, strict=True):
                if isinstance(place, str):
                    refused[parcel.mark] = place
                elif place.first != place.last and not arrived(self._client, topic, LETTER, parcel.mark, *place):
                    raise PublishError(f"{parcel.target}: its chunks are there, but make no message")
        return refused

    def _send(self, parcels: Sequence[Parcel]) -> dict[str, str]:
        """Send what may be on its way at once: what may go in chunks goes alone."""
        flight = _Flight(len(parcels))
        used = {}
        for parcel in parcels:
            topic = self._partition(parcel)
            used[topic] = producer = self._producers[topic]
            message = build(_marked(parcel), self._next_id(), None, keeps_cut=True)
            producer._producer.send_async(message, flight.on(parcel.mark))
        patience = Patience()
        while not flight.ended.wait(1.0):
            self._waiting()
            connected = all(producer.is_connected() for producer in used.values())
            if why := patience.ended(connected, len(flight.answers)):
                raise PublishError(f"{', '.join(sorted(used))}: {why}")
        refused = {}
        for parcel in parcels:
            result, identity = flight.answers[parcel.mark]
            if result in _FINAL:
                refused[parcel.mark] = f"{parcel.target} {_FINAL[result]}"
            elif result:
                raise PublishError(f"{parcel.target} did not take a message: {result}")
            elif identity.ledger_id() < 0:
                # Pulsar confirms what it drops: the letter stays, and the topic tells whether it is there
                raise PublishError(f"{parcel.target}: the broker takes it for a repetition")
            elif (span := first_and_last(identity)) is not None and not arrived(
                self._client, self._partition(parcel), LETTER, parcel.mark, *span
            ):
                raise PublishError(f"{parcel.target}: its chunks are there, but make no message")
        return refused

    def _partition(self, parcel: Parcel) -> str:
        target = self._targets[parcel.target]
        return target.partition_topic(target.partition_of(parcel.message.key, zlib.crc32(parcel.mark.encode())))

    def _next_id(self) -> int:
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id

    def landed(self, topic: str, beginning: str, since: int, run: str | None = None) -> set[str]:
        """The marks that begin with *beginning* of what *topic* holds, looking at what came after *since* (milliseconds
        since the epoch). None is there of a topic that does not exist.

        *run*: of that replay alone.
        """
        if not self._exists(topic):
            return set()
        found: set[str] = set()
        for partition in self._client.get_topic_partitions(topic):
            for message in messages_since(self._client, partition, since, self._waiting):
                properties = properties_of(message)
                mark = properties.get(LETTER, "")
                if mark.startswith(beginning) and (run is None or properties.get(REPLAY) == run):
                    found.add(mark)
        return found

    def close(self) -> None:
        """Close the producers, without waiting long for what they still hold."""
        producers, self._producers = self._producers, {}
        self._targets.clear()
        self._enforcing.clear()
        self._obstacles.clear()
        closing = [
            threading.Thread(target=_close, args=(producer,), name="close producer", daemon=True)
            for producer in producers.values()
        ]
        for thread in closing:
            thread.start()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in closing:
            thread.join(max(0.0, deadline - time.monotonic()))


def _marked(parcel: Parcel) -> Message:
    return replace(parcel.message, properties={**(parcel.message.properties or {}), LETTER: parcel.mark})


def _runs(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """What may go together: small ones, and those with a header apart."""
    run: list[Parcel] = []
    for parcel in parcels:
        message = parcel.message
        alone = len(message.payload) + metadata_bytes(message) > ALONE_BYTES
        if run and (alone or bool(run[-1].message.header) != bool(message.header)):
            yield run
            run = []
        run.append(parcel)
        if alone:
            yield run
            run = []
    if run:
        yield run


class _Flight:
    """What became of messages that were sent."""

    def __init__(self, number: int) -> None:
        self.answers: dict[str, tuple[str, MessageId]] = {}
        self.ended = threading.Event()
        self._number = number

    def on(self, mark: str) -> Callable[[object, MessageId], None]:
        """What the client's thread calls for one of them."""

        def answered(result: object, identity: MessageId) -> None:
            text = "" if result == core.Result.Ok else str(result).removeprefix("Result.")
            self.answers[mark] = text, identity
            if len(self.answers) == self._number:
                self.ended.set()

        return answered


def _close(producer: Producer) -> None:
    try:
        producer.close()
    except PulsarError:
        return
