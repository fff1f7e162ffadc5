"""``replay_dlq_messages``: dead letters go back by a function of the caller's own, outside Kubernetes too."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from headrace.api.bridge_sink import Compression
from headrace.bridge.batch import Position
from headrace.bridge.dead_letters import MOST_AT_ONCE, DeadLetters, Found
from headrace.bridge.header import Header
from headrace.bridge.headers import Headers
from headrace.bridge.letter import UnreplayableError, renewed, sure
from headrace.bridge.message import Message
from headrace.bridge.pace import Pace
from headrace.bridge.publisher import PublishError
from headrace.bridge.pulsar_library import Client, library
from headrace.bridge.pulsar_library import Message as Received
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.topic_reader import TopicReader, remaining
from headrace.bridge.way_back import Parcel, WayBack
from headrace.process.letter_properties import FORM

Processor = Callable[[Received], "bytes | Message | Received | None"]

LONG_QUEUE = 5000
"""Letters that the client does not give out keep their place in its queue. So where nothing comes, a longer one is
tried."""

END_SECONDS = 3.0

_log = logging.getLogger(__name__)


@dataclass
class ReplayReport:
    """What a run did."""

    matched: int = 0
    """Letters for which the processor returned a message."""
    replayed: int = 0
    """Letters that are in the original topic now, and no longer among the dead letters."""
    skipped: int = 0
    """Letters for which it returned None."""
    failed: int = 0
    """Letters for which it raised, or that were replayed too often. They stay."""
    problem: str = ""
    """Why the last one failed."""


def replay_dlq_messages(
    original_topic: str,
    dlq_topic: str,
    processor: Processor,
    *,
    service_url: str | None = None,
    client: Client | None = None,
    token: str = "",
    subscription: str = "headrace-replay",
    limit: int | None = None,
    rate_per_second: int | None = None,
    max_replays: int = 3,
    idle_seconds: float = 5.0,
) -> ReplayReport:
    """Bring the dead letters of *dlq_topic* back to *original_topic*, as far as it went when the call began.

    *processor* gets each letter, with the methods of ``pulsar.Message``, and returns what goes back: a payload, a
    ``headrace.bridge.Message``, the letter itself, or None to leave it where it is. A letter for which it raises stays
    too. What goes back is acknowledged on *subscription*, which is durable, begins at the topic's first letter, and is
    made when missing; ``headrace-dead-letters`` is the one that the operator counts. A partition is done when its end
    is reached, or when nothing came for *idle_seconds*.

    Calling it again after a crash publishes nothing twice: each message names its letter, and those that the original
    topic holds already are only acknowledged. Letters are told apart as long as the original topic keeps its messages.

    *service_url* or *client* (a ``pulsar.Client``), one of them. *token*: where Pulsar wants one; also beside *client*,
    as what the library cannot read or write of a message goes by a connection of its own. Raises
    ``pulsar.PulsarException``; calling it again goes on.
    """
    if (service_url is None) == (client is None):
        raise ValueError("give service_url or client, and not both")
    with _connected(service_url, client, token) as connection:
        raw = _raw(connection, token)
        run = _Run(connection, raw, original_topic, processor, limit, Pace(rate_per_second), max_replays)
        try:
            for partition in connection.get_topic_partitions(dlq_topic):
                with DeadLetters(connection, Headers(raw), partition, subscription) as letters:
                    run.partition(partition, letters, idle_seconds)
        finally:
            run.close()
        return run.report


@contextmanager
def _connected(service_url: str | None, client: Client | None, token: str) -> Iterator[Client]:
    if client is not None:
        yield client
        return
    own: Client = library.Client(service_url, authentication=library.AuthenticationToken(token) if token else None)
    try:
        yield own
    finally:
        own.close()


def _raw(client: Client, token: str) -> RawTopics:
    """To the brokers of *client*."""
    service = client._client.get_service_info()
    return RawTopics(service.service_url, token, service.tls_trust_certs_file_path or None)


class _Run:
    def __init__(
        self,
        client: Client,
        raw: RawTopics,
        topic: str,
        processor: Processor,
        limit: int | None,
        pace: Pace,
        max_replays: int,
    ) -> None:
        self.report = ReplayReport()
        self._client = client
        self._raw = raw
        self._topic = topic
        self._processor = processor
        self._limit = limit
        self._pace = pace
        self._max_replays = max_replays
        self._way: WayBack | None = None
        self._landed: set[str] = set()

    def partition(self, name: str, letters: DeadLetters, idle_seconds: float) -> None:
        """Deal with one partition of the dead letters."""
        end = letters.end()
        if end is None:
            return
        way = self._open(name)
        looked = lengthened = False
        last = time.monotonic()
        while not self._is_full():
            found = letters.receive(self._pace.portion(MOST_AT_ONCE))
            if not found and time.monotonic() - last > idle_seconds:
                if lengthened:
                    self._tell_of_the_end(name, end)
                    return
                lengthened, last = True, time.monotonic()
                letters.lengthen(LONG_QUEUE)
            inside = [each for each in found if each.position <= end]
            if inside and not looked:
                self._landed = way.landed(self._topic, f"{name}|", inside[0].message.publish_timestamp())
                looked = True
            if inside:
                time.sleep(self._pace.passed(self._take(way, name, letters, inside)))
                last = time.monotonic()
            if found and found[-1].position >= end:
                return

    def _tell_of_the_end(self, name: str, end: Position) -> None:
        """It did not come: it was replayed before, or nobody can read it."""
        with closing(TopicReader(self._client, name, end[:2])) as reader:
            if next(remaining(reader, END_SECONDS, lambda: None), None) is None:
                lies = "{}:{}".format(*end)
                self.report.problem = f"{name}: letters up to its end, {lies}, are encrypted or damaged. They stay."

    def close(self) -> None:
        """Close the producers."""
        if self._way is not None:
            self._way.close()

    def _is_full(self) -> bool:
        return self._limit is not None and self.report.replayed >= self._limit

    def _open(self, name: str) -> WayBack:
        """Producers of a fixed name: while they live no other run publishes letters of that partition."""
        self.close()
        short = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"headrace-replay/{short}"
        self._way = WayBack(self._client, self._raw, name, Compression.NONE, lambda _: True, lambda: None)
        if obstacle := self._way.obstacle(self._topic):
            raise library.PulsarException(obstacle)
        return self._way

    def _take(self, way: WayBack, name: str, letters: DeadLetters, found: list[Found]) -> int:
        """Publish, wait until Pulsar has it all, acknowledge; returns how many were published."""
        done: list[Found] = []
        parcels: dict[str, tuple[Found, Parcel]] = {}
        for each in found:
            if self._limit is not None and self.report.replayed + len(done) + len(parcels) >= self._limit:
                break
            mark = f"{name}|{each.identity}"
            if mark in self._landed:
                done.append(each)
            elif (message := self._processed(each)) is not None:
                parcels[mark] = each, Parcel(mark, self._topic, message)
        try:
            refused = way.send([parcel for _, parcel in parcels.values()])
        except PublishError as error:
            raise library.PulsarException(str(error)) from None
        for mark, why in refused.items():
            self._failed(parcels[mark][0], f"{why}.")
        done += [each for mark, (each, _) in parcels.items() if mark not in refused]
        letters.acknowledge(done)
        self.report.matched += len(done)
        self.report.replayed += len(done)
        return len(parcels)

    def _processed(self, each: Found) -> Message | None:
        """What goes back; None when nothing does, which is counted."""
        try:
            made = self._processor(each.message)
            if made is None:
                self.report.skipped += 1
                return None
            return self._renewed(each, made)
        except Exception as error:
            self._failed(each, f"{type(error).__name__}: {error}")
            if not isinstance(error, UnreplayableError):
                _log.warning("letter %s stays", each.name, exc_info=True)
            return None

    def _failed(self, each: Found, why: str) -> None:
        self.report.failed += 1
        self.report.problem = f"{each.name}: {why}"

    def _renewed(self, each: Found, made: bytes | Message | Received) -> Message:
        letter = each.letter
        properties = renewed(letter.properties, self._max_replays)
        header = sure(letter.header)
        if isinstance(made, Message):
            return _with_header(made, {**properties, **(made.properties or {})}, letter.key, header)
        form = letter.properties.get(FORM)
        if form and not isinstance(made, bytes):
            raise UnreplayableError(f"it holds an entry ({form}), no message: return a payload or a Message.")
        whole = Message(b"", letter.key, None, letter.event_time or None)
        whole.payload = made if isinstance(made, bytes) else made.data()
        return _with_header(whole, properties, letter.key, header)


def _with_header(message: Message, properties: dict[str, str], key: str | None, header: Header) -> Message:
    """*message* with *properties*, and what of its letter's *header* is true of it, with *key* before."""
    return replace(
        message,
        properties=properties,
        header=replace(
            header,
            key_is_bytes=header.key_is_bytes and message.key == key,
            null_value=header.null_value and not message.payload,
        ),
    )
