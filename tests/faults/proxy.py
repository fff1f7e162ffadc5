"""A TCP proxy on loopback in front of a server: the network between it and the bridge, which can be taken away."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from types import TracebackType
from typing import Self

from testbed.loopback import HOST

LAST_WORDS_SECONDS = 5.0
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing the socket sends a reset."""


class Proxy:
    """Forwards every connection to a port of this machine, as `with Proxy(port) as proxy:`.

    A server that is away makes it close the connection at once. *tls*: what clients must speak with it, for a server
    that speaks none itself.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._target = target
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._deaf = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._started = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def stall(self) -> None:
        """Hold back what comes, in both directions, until `resume`; connections stay open."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def resume(self) -> None:
        """Let everything flow again, what was held back first: it comes late, perhaps from one who died meanwhile."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def restore(self) -> None:
        """Let everything flow again, over new connections: what was held back is lost."""
        self._loop.call_soon_threadsafe(self._restore)

    def reset(self) -> None:
        """Reset all connections."""
        self._loop.call_soon_threadsafe(self._reset)

    def lead_to(self, target: int) -> None:
        """Reset all connections; those that come then go to another port."""
        self._target = target
        self.reset()

    def lose_an_answer(self) -> None:
        """Reset all connections when the server answers next: it has done what nobody hears of."""
        self._loop.call_soon_threadsafe(setattr, self, "_deaf", True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, HOST, 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        self._flowing.set()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            self._abort(writer)
            return
        self._writers.add(server_writer)
        questions = asyncio.ensure_future(self._pump(reader, server_writer, answers=False))
        answers = asyncio.ensure_future(self._pump(server_reader, writer, answers=True))
        ended, _ = await asyncio.wait((questions, answers), return_when=asyncio.FIRST_COMPLETED)
        if questions not in ended and answers.result():
            # the server said its last; who is reset now may not have read it yet
            with contextlib.suppress(OSError):
                writer.write_eof()
            await asyncio.wait((questions,), timeout=LAST_WORDS_SECONDS)
        self._abort(writer)
        self._abort(server_writer)
        await asyncio.wait((questions, answers))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> bool:
        """Whether the *source* came to its end, orderly."""
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                if sink.is_closing():
                    return False
                if answers and self._deaf:
                    self._deaf = False
                    self._reset()
                    return False
                sink.write(data)
                await sink.drain()
            return not sink.is_closing()
        return False

    def _restore(self) -> None:
        self._deaf = False
        self._reset()
        self._flowing.set()

    def _reset(self) -> None:
        for writer in tuple(self._writers):
            self._abort(writer)

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        if writer in self._writers:
            self._writers.discard(writer)
            connection = writer.get_extra_info("socket")
            if connection is not None:  # TLS that the client closed has none any more
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.transport.abort()
