"""Asks brokers for entries as they have them, and acknowledges entries that the client library keeps to itself.

Both need nothing but the right to consume. ``exact_producer`` publishes so. Each use has a connection of its own, made
when it is needed, which is seldom.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.api.bridge_source import SubscriptionType
from headrace.api.connection import PulsarConnection
from headrace.bridge.cursor import Place
from headrace.bridge.raw_entry import EntryId, RawEntry
from headrace.bridge.wire import (
    PROTOCOL_VERSION,
    Command,
    Frame,
    WireError,
    command,
    content,
    field,
    fields,
    integer,
    text,
)
from headrace.process.configuration import Secrets

ANSWER_SECONDS = 10.0
QUIET_SECONDS = 3.0
"""How long nothing may come before a reading ends short of where it should."""
PERMITS = 1000
LARGEST_FRAME = 128 * 1024 * 1024
LARGEST_MESSAGE = 5 * 1024 * 1024
"""What a broker takes that does not say it."""
MOST_REDIRECTIONS = 10
LAST_TO_LEAD = 1000
"""A priority level below everybody's, so that who only acknowledges is given no messages."""

_TYPES = {SubscriptionType.SHARED: 1, SubscriptionType.FAILOVER: 2, SubscriptionType.KEY_SHARED: 3}
_REQUEST = 1
_CONSUMER = 1


class BrokerRefusalError(Exception):
    """What a broker answered instead of what it was asked for."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text or f"error {code}")
        self.code = code
        """Pulsar's number of the error (``ServerError``)."""


RAW_TROUBLE: tuple[type[Exception], ...] = (OSError, WireError, BrokerRefusalError)
"""No answer, a refusal, or an answer that is none of Pulsar's."""


class RawTopics:
    """The brokers of one cluster. Methods raise ``RAW_TROUBLE``."""

    def __init__(self, service_url: str, token: str = "", authority: str | Path | None = None) -> None:
        """*authority*: the file with the CA certificates, with ``pulsar+ssl://``; None for the system's."""
        self._urls = _hosts(service_url)
        self._token = token
        self._tls: ssl.SSLContext | None = None
        if service_url.startswith("pulsar+ssl://"):
            self._tls = ssl.create_default_context(cafile=authority)

    @classmethod
    def of(cls, connection: PulsarConnection, secrets: Secrets) -> Self:
        """As a resource says; raises ``FatalConfigurationError`` when a secret file is missing."""
        token = secrets.read("pulsar/token") if connection.auth else ""
        authority = secrets.certificate("pulsar-ca/ca.crt") if connection.tls else None
        return cls(connection.service_url, token, authority)

    def reading(self, partition: str, first: Place) -> Reading:
        """A reading of the topic *partition* from *first* on, to be closed."""
        return Reading(self.link(partition), partition, first)

    def acknowledge(
        self, partition: str, subscription: str, kind: SubscriptionType, places: Iterable[Place], *, cumulative: bool
    ) -> None:
        """Acknowledge entries of the topic *partition* on *subscription*; *cumulative*: and all before."""
        with self.link(partition) as link:
            shared = field(17, field(1, 0)) if kind is SubscriptionType.KEY_SHARED else b""
            link.subscribe(partition, subscription, _TYPES[kind], field(7, LAST_TO_LEAD) + shared)
            ids = b"".join(field(3, field(1, ledger) + field(2, entry)) for ledger, entry in places)
            link.send(command(Command.ACK, field(1, _CONSUMER), field(2, int(cumulative)), ids, field(8, _REQUEST)))
            answer = link.answer(Command.ACK_RESPONSE)
            if 4 in answer.body:
                raise BrokerRefusalError(text(answer.body, 5), integer(answer.body, 4))

    def link(self, topic: str) -> Link:
        """A connection to the broker that serves *topic*, to be closed."""
        link, authoritative = self._first(), False
        for _ in range(MOST_REDIRECTIONS):
            try:
                link.send(command(Command.LOOKUP, field(1, topic), field(2, _REQUEST), field(3, int(authoritative))))
                answer = link.answer(Command.LOOKUP_RESPONSE).body
                kind = integer(answer, 3)
                if kind == 2:
                    raise BrokerRefusalError(text(answer, 7), integer(answer, 6))
                url = text(answer, 2 if self._tls else 1)
                proxied = bool(integer(answer, 8))
            except BaseException:
                link.close()
                raise
            link.close()
            link = self._connect(link.host, url) if proxied else self._connect(_hosts(url)[0])
            if kind == 1:
                return link
            authoritative = bool(integer(answer, 5))
        link.close()
        raise BrokerRefusalError(f"no broker serves {topic}")

    def _first(self) -> Link:
        trouble: Exception | None = None
        for host in self._urls:
            try:
                return self._connect(host)
            except OSError as error:
                trouble = error
        assert trouble is not None
        raise trouble

    def _connect(self, host: tuple[str, int], proxied_to: str = "") -> Link:
        return Link(host, self._tls, self._token, proxied_to.rpartition("://")[2])


class Reading:
    """Entries of one topic, in order."""

    def __init__(self, link: Link, partition: str, first: Place) -> None:
        self._link = link
        self._partition = partition
        part = partition.rpartition("-partition-")[2]
        self._part = int(part) if "-partition-" in partition and part.isdigit() else -1
        self._used = 0
        self.at: Place = (-1, -1)
        """The last entry that was read."""
        self._next: RawEntry | None = None
        name = f"headrace-look-{os.urandom(6).hex()}"
        start = field(8, 0) + field(9, field(1, first[0]) + field(2, max(first[1], 0)))
        try:
            link.subscribe(partition, name, 0, start)
            self._permit(PERMITS)
        except BaseException:
            link.close()
            raise

    def until(self, last: Place, patience: float = QUIET_SECONDS) -> Iterator[RawEntry]:
        """The entries up to *last*, from where the reading stands, without what the broker gives to nobody.

        It ends before *last* when nothing came for *patience* seconds.
        """
        while (entry := self._peek(patience)) is not None and entry.place <= last:
            self._next, self.at = None, entry.place
            yield entry
            if entry.place == last:
                return

    def passed(self, place: Place) -> bool:
        """Whether nothing that is still to be read lies at *place* or before."""
        return self.at >= place or (self._next is not None and self._next.place > place)

    def close(self) -> None:
        """End it."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _peek(self, patience: float) -> RawEntry | None:
        while self._next is None:
            frame = self._link.message(patience)
            if frame is None:
                return None
            identity = fields(content(frame.body, 2))
            place = EntryId((integer(identity, 1), integer(identity, 2)), self._part)
            self._next = RawEntry(self._partition, place, frame.rest)
            self._used += self._next.messages
            if self._used > PERMITS // 2:
                self._permit(self._used)
                self._used = 0
        return self._next

    def _permit(self, messages: int) -> None:
        self._link.send(command(Command.FLOW, field(1, _CONSUMER), field(2, messages)))


class Link:
    """One connection; requests have to be answered before the next."""

    def __init__(self, host: tuple[str, int], tls: ssl.SSLContext | None, token: str, proxied_to: str) -> None:
        self.host = host
        self._socket = socket.create_connection(host, ANSWER_SECONDS)
        try:
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=host[0])
            self._stream = self._socket.makefile("rb")
            login = field(5, "token") + field(3, token) if token else b""
            proxied = field(6, proxied_to) if proxied_to else b""
            self.send(command(Command.CONNECT, field(1, "headrace"), login, field(4, PROTOCOL_VERSION), proxied))
            self.largest_message = integer(self.answer(Command.CONNECTED).body, 3, LARGEST_MESSAGE)
            """Bytes that the broker takes in one entry."""
        except BaseException:
            self._socket.close()
            raise

    def subscribe(self, topic: str, subscription: str, kind: int, options: bytes) -> None:
        """Become a consumer."""
        names = field(1, topic) + field(2, subscription) + field(3, kind)
        numbers = field(4, _CONSUMER) + field(5, _REQUEST)
        without_creation = field(15, 0)
        self.send(command(Command.SUBSCRIBE, names, numbers, field(6, "headrace-look"), options, without_creation))
        self.answer(Command.SUCCESS)

    def send(self, data: bytes) -> None:
        """Send a command."""
        self._socket.sendall(data)

    def answer(self, kind: int) -> Frame:
        """The next frame of that *kind*; others are passed over."""
        self._socket.settimeout(ANSWER_SECONDS)
        while True:
            frame = self._receive()
            if frame.kind == kind:
                return frame
            if frame.kind == Command.ERROR:
                raise BrokerRefusalError(text(frame.body, 3), integer(frame.body, 2))
            if frame.kind in (Command.CLOSE_CONSUMER, Command.CLOSE_PRODUCER):
                raise BrokerRefusalError("the broker closed the topic")
            if frame.kind == Command.SEND_ERROR:
                raise BrokerRefusalError(text(frame.body, 4), integer(frame.body, 3))

    def message(self, seconds: float) -> Frame | None:
        """The next message; None when nothing came for so long."""
        self._socket.settimeout(seconds)
        try:
            first = self._stream.peek(1)
        except TimeoutError:
            return None
        if not first:
            raise ConnectionResetError("the broker closed the connection")
        return self.answer(Command.MESSAGE)

    def close(self) -> None:
        """Hang up, which ends the consumer too."""
        with contextlib.suppress(OSError):
            self._stream.close()
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _receive(self) -> Frame:
        while True:
            [size] = struct.unpack(">I", self._exactly(4))
            if size > LARGEST_FRAME:
                raise WireError(f"a frame of {size} bytes")
            frame = Frame.parse(self._exactly(size))
            if frame.kind != Command.PING:
                return frame
            self.send(command(Command.PONG))

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if data is None or len(data) < size:
            raise ConnectionResetError("the broker closed the connection")
        return data


def _hosts(url: str) -> list[tuple[str, int]]:
    """Hosts and ports of a service URL."""
    scheme, _, rest = url.rstrip("/").partition("://")
    found = []
    for each in rest.split(","):
        name, _, port = each.rpartition(":") if ":" in each else (each, "", "")
        found.append((name, int(port) if port else 6651 if scheme == "pulsar+ssl" else 6650))
    return found
