"""The Pulsar half of Valkey -> Pulsar: one producer a partition, frames that the broker knows again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.api.bridge_sink import Compression
from headrace.api.policy import MOST_MESSAGES
from headrace.bridge.chunks import arrived, first_and_last
from headrace.bridge.exact_producer import ExactProducer
from headrace.bridge.frame import Frame, Way
from headrace.bridge.message import Message, metadata_bytes
from headrace.bridge.pulsar_client import build
from headrace.bridge.pulsar_library import (
    Client,
    IncompatibleSchemaError,
    MessageId,
    OwnSchema,
    Producer,
    PulsarError,
    core,
)
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.tail import Position, holds
from headrace.process.letter_properties import CUT

NEVER_MILLISECONDS = 24 * 3600 * 1000
LARGEST_FRAME_BYTES = 64 * 1024 * 1024
CLOSE_SECONDS = 5.0
ALONE_BYTES = 64 * 1024
"""What is smaller fits into one piece at any broker."""

COMPRESSION = {
    Compression.NONE: core.CompressionType.NONE,
    Compression.LZ4: core.CompressionType.LZ4,
    Compression.ZSTD: core.CompressionType.ZSTD,
}

_log = logging.getLogger(__name__)


TOO_BIG = "MessageTooBig"
"""The client's own refusal, before anything is sent: the frame is larger than the broker says it takes."""


HIDDEN = "the broker took it for a repetition and dropped it, but it is not there"
"""Somebody else has used the name of our producer, and higher sequence ids."""


class PublishError(Exception):
    """Pulsar did not take a frame; how much of the cut it has is unknown. Reopen and replay the same cut."""

    def __init__(self, text: str, too_large: int | None = None, result: str = "", *, hidden: bool = False) -> None:
        super().__init__(text)
        self.result = result
        """What the library calls it, such as ``TopicTerminated``; empty when it says nothing."""
        self.too_large = too_large
        """Id of the message that is larger than the broker takes, if that is why."""
        self.hidden = hidden
        """Whether the broker knows higher ids of the producer, so that these never arrive."""


class _Sender:
    """A producer, and the ids that it gives to messages that go one by one."""

    def __init__(self, client: Client, producer: Producer, exact: ExactProducer | None, *, only_exactly: bool) -> None:
        """*exact*: for messages with a header; *only_exactly*: for all."""
        self.producer = producer
        self._exact = exact
        self._only_exactly = only_exactly
        self._client = client
        self._last_id = int(producer.last_sequence_id())
        self._arrived: Position | None = None
        """Where the last batch lies that surely arrived."""

    def send(self, frame: Frame) -> str | None:
        """Send a batch, or messages one by one; None when Pulsar has them all, else what went wrong."""
        if self._exact is not None and (self._only_exactly or frame.messages[0][1].header):
            return self._send_exactly(self._exact, frame)
        problems: list[str] = []
        answered = threading.Event()
        expected = 1 if frame.batched else len(frame.messages)
        answers: list[MessageId] = []

        def on_sent(result: object, identity: MessageId) -> None:
            if result != core.Result.Ok:
                problems.append(str(result).removeprefix("Result."))
            answers.append(identity)
            if len(answers) == expected:
                answered.set()

        send = self.producer._producer.send_async
        # A batch has one fate, so its last message alone asks: a callback each would cost a switch to Python each.
        silent = frame.messages[:-1] if frame.batched else []
        for sequence_id, item in silent:
            send(build(item, sequence_id, None), None)
        for sequence_id, item in frame.messages[len(silent) :]:
            send(build(item, self._wire_id(frame, sequence_id), _mark(frame, sequence_id)), on_sent)
        try:
            self.producer.flush()
        except PulsarError as error:
            return type(error).__name__
        # flush returns when all is answered; the callback may still be on its way from the client's thread
        if not answered.wait(10):
            return "no answer"
        return problems[0] if problems else self._verdict(frame, answers)

    def _send_exactly(self, producer: ExactProducer, frame: Frame) -> str | None:
        messages = [
            replace(message, properties={**(message.properties or {}), CUT: _mark(frame, sequence_id)})
            for sequence_id, message in frame.messages
        ]
        try:
            landed = producer.send(messages)
        except RAW_TROUBLE as error:
            return str(error) or type(error).__name__
        for message, place in zip(messages, landed, strict=True):
            if isinstance(place, str):
                return TOO_BIG  # such a one is alone
            (first, last), mark = place, (message.properties or {})[CUT]
            if first != last and not arrived(self._client, frame.topic, CUT, mark, first, last):
                return "its chunks are there, but make no message"
        return None

    def _verdict(self, frame: Frame, answers: list[MessageId]) -> str | None:
        """Whether that has arrived what Pulsar confirmed; it confirms what it drops as a repetition, too."""
        repeated = any(answer.ledger_id() < 0 for answer in answers)
        if frame.batched:
            if not repeated:
                self._arrived = answers[0].ledger_id(), answers[0].entry_id()
            elif not holds(self._client, frame.topic, frame.cut, frame.last, self._arrived, frame.made):
                return HIDDEN
            return None
        if repeated:
            return "the broker takes it for a repetition"  # of an id that was never given: the topic's end will tell
        span = first_and_last(answers[0]) if len(frame.messages) == 1 else None
        if span is None or arrived(self._client, frame.topic, CUT, _mark(frame, frame.first), *span):
            return None
        return "its chunks are there, but make no message"

    def _wire_id(self, frame: Frame, sequence_id: int) -> int:
        """The id under which the broker gets a message.

        A batch keeps its own: the broker drops what it has. Of a message in chunks the broker (4.0.7) drops only the
        last chunk, and after a reload it takes the torso of one for the whole; consumers know chunks by producer name
        and id, and mistake those of another try for a torso's. So each try has new ids, above all earlier ones, and
        what landed is read from the topic.
        """
        if frame.batched:
            return sequence_id
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id


def _mark(frame: Frame, sequence_id: int) -> str:
    return f"{frame.cut}:{sequence_id}"


_Work = tuple[Frame, _Sender, "Transmission"]


class _Writer:
    """The thread of one partition's topic, because ``flush`` blocks until the broker has the frame.

    One frame is on its way at a time, whichever producer it goes by: order, and would a later one arrive where an
    earlier one did not, the broker would take the earlier one for a repetition when it came again, and drop it.
    """

    def __init__(self, topic: str) -> None:
        self._failed = False
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"publish {topic}", daemon=True).start()

    def write(self, frame: Frame, sender: _Sender, transmission: Transmission) -> None:
        """Send *frame*, and tell *transmission* what became of it."""
        self._work.put((frame, sender, transmission))

    def end(self) -> None:
        """Let the thread end when it has nothing left to do."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            frame, sender, transmission = work
            problem = self._outcome(frame, sender, transmission)
            self._failed = problem is not None
            transmission.answer(problem)

    def _outcome(self, frame: Frame, sender: _Sender, transmission: Transmission) -> PublishError | None:
        if self._failed:
            return PublishError(f"{frame.topic} did not take the frame before")
        try:
            self._send(frame, sender, transmission.part_confirmed)
        except PublishError as error:
            return error
        except Exception as error:  # whatever it is, the cut is safe and the caller must hear of it
            return PublishError(f"{frame.topic} did not take a frame: {type(error).__name__}: {error}")
        return None

    def _send(self, frame: Frame, sender: _Sender, confirmed: Callable[[], None]) -> None:
        for part in [frame] if frame.batched else _one_by_one(frame):
            problem = sender.send(part)
            if problem == TOO_BIG and part.batched:
                self._send_halves(part, sender, confirmed)
            elif problem is not None:
                too_large = part.first if problem == TOO_BIG else None  # such a part is one message
                text = f"{frame.topic} did not take a frame: {problem}"
                raise PublishError(text, too_large, problem, hidden=problem == HIDDEN)
            else:
                confirmed()

    def _send_halves(self, frame: Frame, sender: _Sender, confirmed: Callable[[], None]) -> None:
        """To a broker with a lower limit than ours: always the same halves, so that a replay repeats them."""
        if len(frame.messages) == 1:
            raise PublishError(f"message {frame.first} is larger than the broker takes", frame.first)
        middle = len(frame.messages) // 2
        for half in (frame.messages[:middle], frame.messages[middle:]):
            self._send(replace(frame, messages=half), sender, confirmed)


def _one_by_one(frame: Frame) -> list[Frame]:
    """Parts of a frame that is no batch: what may go in chunks alone, as it must have arrived before the next goes, and
    what has a header apart, as another producer sends it."""
    runs: list[list[tuple[int, Message]]] = [[]]
    for pair in frame.messages:
        message = pair[1]
        if len(message.payload) + metadata_bytes(message) > ALONE_BYTES:
            runs += [[pair], []]
        elif runs[-1] and bool(runs[-1][-1][1].header) != bool(message.header):
            runs.append([pair])
        else:
            runs[-1].append(pair)
    return [replace(frame, messages=run) for run in runs if run]


class Transmission:
    """Frames on their way."""

    def __init__(self, frames: int) -> None:
        self._missing = frames
        self.confirmed = 0
        """Parts that Pulsar has confirmed."""
        self._answers: queue.SimpleQueue[PublishError | None] = queue.SimpleQueue()

    def part_confirmed(self) -> None:
        """A part of a frame has arrived; called by the writers' threads, so this is about right."""
        self.confirmed += 1

    def answer(self, problem: PublishError | None) -> None:
        """What became of one frame; called by the writers' threads."""
        self._answers.put(problem)

    def wait(self, waiting: Callable[[], None]) -> None:
        """Return when Pulsar has them all; raise :class:`PublishError` otherwise.

        It waits as long as the broker is away; *waiting* is called about once a second and may raise to give up.
        """
        while self._missing:
            try:
                problem = self._answers.get(timeout=1.0)
            except queue.Empty:
                waiting()
                continue
            if problem is not None:
                raise problem
            self._missing -= 1


class Publisher:
    """The producers of one bridge. Not shared between threads."""

    def __init__(self, client: Client, compression: Compression, raw: RawTopics | None = None) -> None:
        """*raw*: for messages with a header; without it they lose what the library cannot write."""
        self._client = client
        self._raw = raw
        self._compression = COMPRESSION[compression]
        self._senders: dict[tuple[str, Way, str], _Sender] = {}
        self._writers: dict[tuple[str, bool], _Writer] = {}

    def open(self, topic: str, way: Way, name: str) -> int:
        """Open the producer *name* of one partition's topic. Returns the highest id that the broker knows of its
        batches; -1 when it knows none, and for other ways, whose ids say nothing.

        The name is fixed: the broker refuses a second producer of that name while the first one's connection lives
        (it pings it), and knows resent frames by name and id. Access is Shared: exclusive access would lock other
        writers out of the user's topic, and two bridges of one dead-letter topic would fence each other for ever.
        """
        batched = way is Way.BATCHED
        sender = self._senders.get((topic, way, name))
        if sender is None:
            exact, only_exactly = None, False
            if self._raw is not None and not batched:
                exact = ExactProducer(self._raw, topic, f"{name}/exact/{way.value}", of_letters=True)
            try:
                producer = self._producer(topic, way, name)
            except IncompatibleSchemaError:
                if exact is None:
                    raise
                # it enforces its schema: this one keeps others away, and each message says by what it is written
                producer, only_exactly = self._producer(topic, way, name, schema=OwnSchema(self._client, topic)), True
            sender = self._senders[topic, way, name] = _Sender(self._client, producer, exact, only_exactly=only_exactly)
        return int(sender.producer.last_sequence_id()) if batched else -1

    def _producer(self, topic: str, way: Way, name: str, **options: Any) -> Producer:
        batched = way is Way.BATCHED
        return self._client.create_producer(
            topic,
            producer_name=name if batched else f"{name}/{way.value}",
            send_timeout_millis=0,  # a frame that timed out and came later would break the order
            compression_type=self._compression,
            max_pending_messages=4 * MOST_MESSAGES,
            block_if_queue_full=True,
            batching_enabled=batched,
            # the limits lie far above a cut, so that the client never cuts by itself
            batching_max_messages=4 * MOST_MESSAGES,
            batching_max_allowed_size_in_bytes=LARGEST_FRAME_BYTES,
            batching_max_publish_delay_ms=NEVER_MILLISECONDS,
            chunking_enabled=not batched,
            **options,
        )

    def publish(self, frames: list[Frame]) -> Transmission:
        """Begin to send *frames*, behind those that were given before."""
        transmission = Transmission(len(frames))
        for frame in frames:
            self.open(frame.topic, frame.way, frame.producer)
            writer = self._writers.get((frame.topic, frame.dead))
            if writer is None:
                writer = self._writers[frame.topic, frame.dead] = _Writer(frame.topic)
            writer.write(frame, self._senders[frame.topic, frame.way, frame.producer], transmission)
        return transmission

    def connected(self) -> bool:
        """Whether every producer has its broker."""
        return all(sender.producer.is_connected() for sender in self._senders.values())

    def keep_only(self, name: str) -> None:
        """Close the producers of all names but *name*: what they were opened for is done."""
        self._close([key for key in self._senders if key[2] != name])

    def close(self) -> None:
        """Close the producers without waiting for what they still hold: whatever was sent is replayed."""
        for writer in self._writers.values():
            writer.end()
        self._writers.clear()
        self._close(list(self._senders))

    def _close(self, keys: list[tuple[str, Way, str]]) -> None:
        closing = [
            threading.Thread(target=_close, args=(self._senders.pop(key).producer,), name="close producer", daemon=True)
            for key in keys
        ]
        for thread in closing:
            thread.start()
        deadline = time.monotonic() + CLOSE_SECONDS  # it blocks while the broker is away
        for thread in closing:
            thread.join(max(0.0, deadline - time.monotonic()))


def _close(producer: Producer) -> None:
    try:
        producer.close()
    except PulsarError as error:
        _log.debug("closing a producer: %s", error)
