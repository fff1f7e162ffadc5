"""Receives from Valkey's channels, fast enough that the server does not drop us."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import libvalkey
import valkey
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import ResponseError

CHUNK_BYTES = 256 * 1024
UNREAD_BYTES = 32 * 1024 * 1024
"""How much is taken off the socket before somebody looks at it; as much again waits inside Valkey by default."""
ASK_SECONDS = 2.0
"""After so long without a byte the server is asked whether it is there."""
SILENT_SECONDS = 10.0
"""After so long without a byte it is not."""

Command = Sequence[str | bytes | int]


class ChannelReader:
    """One connection in RESP3, where commands and messages may follow each other.

    A thread takes bytes off the socket and does nothing else: Valkey drops a subscriber that lets 32 MiB wait
    (`client-output-buffer-limit pubsub`), and never tells what it missed.
    """

    def __init__(self, client: valkey.Valkey, commands: Sequence[Command]) -> None:
        self._connection: Any = client.connection_pool.make_connection()
        self._chunks: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._reader = libvalkey.Reader()
        self._taken = 0
        self._parsed = 0
        self._closed = False
        self._heard = time.monotonic()
        self._connection.connect()
        try:
            self._connection.send_command("HELLO", 3, check_health=False)
            self._connection.read_response()
            self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        except BaseException:
            self._connection.disconnect()
            raise
        threading.Thread(target=self._run, name="channels", daemon=True).start()

    def replies(self, seconds: float) -> Iterator[Any]:
        """Everything that has come, after waiting for it at most *seconds*; raises ValkeyError, OSError."""
        size = 0
        while size < UNREAD_BYTES:
            try:
                chunk = self._chunks.get(timeout=seconds) if not size else self._chunks.get_nowait()
            except queue.Empty:
                return
            if isinstance(chunk, Exception):
                raise chunk
            size += len(chunk)
            self._reader.feed(chunk)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, libvalkey.ReplyError):
                    raise ResponseError(str(reply))
                yield reply
            self._parsed += len(chunk)

    def silent_seconds(self) -> float:
        """How long ago the server sent a byte; it is asked for one when it sends nothing by itself."""
        return time.monotonic() - self._heard

    def close(self) -> None:
        """Unsubscribe."""
        self._closed = True
        self._connection.disconnect()

    def _run(self) -> None:
        try:
            self._take_off(self._connection._sock)
        except Exception as error:
            if not self._closed:
                self._chunks.put(error)

    def _take_off(self, socket: Any) -> None:
        socket.settimeout(ASK_SECONDS)
        while not self._closed:
            try:
                chunk = socket.recv(CHUNK_BYTES)
            except TimeoutError:
                if self.silent_seconds() > SILENT_SECONDS:
                    raise
                self._connection.send_command("PING", check_health=False)
                continue
            if not chunk:
                raise ValkeyConnectionError("Valkey closed the connection of the subscription")
            self._heard = time.monotonic()
            self._taken += len(chunk)
            self._chunks.put(chunk)
            while self._taken - self._parsed > UNREAD_BYTES and not self._closed:
                time.sleep(0.001)
