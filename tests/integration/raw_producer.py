"""A producer that publishes entries which no client library would make: broken ones, and chunks one by one."""

import socket
import struct
import time
from types import TracebackType
from typing import Self

from headrace.bridge.wire import Command, Frame, command, field
from testbed.pulsar import Pulsar

PRODUCER, SEND, SEND_RECEIPT, PRODUCER_SUCCESS = 5, 6, 7, 17
ZSTD = 3


class RawProducer:
    """One producer of a topic that is not partitioned, as `with RawProducer(broker, topic, "name") as producer:`."""

    def __init__(self, broker: Pulsar, topic: str, name: str) -> None:
        host, _, port = broker.service_url.removeprefix("pulsar://").rpartition(":")
        self.name = name
        self._sequence_id = 0
        self._socket = socket.create_connection((host, int(port)), 10)
        self._ask(command(Command.CONNECT, field(1, "raw"), field(4, 19)), Command.CONNECTED)
        self._ask(command(Command.LOOKUP, field(1, topic), field(2, 1)), Command.LOOKUP_RESPONSE)
        self._ask(command(PRODUCER, field(1, topic), field(2, 1), field(3, 2), field(4, name)), PRODUCER_SUCCESS)

    def send(self, payload: bytes, metadata: bytes = b"", messages: int = 1) -> None:
        """Publish an entry with the fields *metadata* besides the usual ones, and wait until the broker has it."""
        self._sequence_id += 1
        usual = field(1, self.name) + field(2, self._sequence_id) + field(3, int(time.time() * 1000))
        whole = usual + metadata
        base = field(1, SEND) + field(SEND, field(1, 1) + field(2, self._sequence_id) + field(3, messages))
        entry = struct.pack(">I", len(whole)) + whole + payload
        frame = struct.pack(">II", 4 + len(base) + len(entry), len(base)) + base + entry
        self._ask(frame, SEND_RECEIPT)

    def send_chunk(self, uuid: str, number: int, payload: bytes, of: int, size: int) -> None:
        """Publish one chunk of a message of *of* chunks and *size* bytes."""
        self.send(payload, field(26, uuid) + field(27, of) + field(28, size) + field(29, number))

    def send_undecompressible(self, payload: bytes) -> None:
        """Publish bytes that are said to be compressed and are not."""
        self.send(payload, field(8, ZSTD) + field(9, 100))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def _ask(self, frame: bytes, kind: int) -> None:
        self._socket.sendall(frame)
        while True:
            [size] = struct.unpack(">I", self._exactly(4))
            answer = Frame.parse(self._exactly(size))
            if answer.kind == kind:
                return
            assert answer.kind == Command.PING, f"the broker answered {answer}"

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, "the broker closed the connection"
            data += more
        return data
