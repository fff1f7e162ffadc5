# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
"""Waits for all channels of a connection, in kombu's event loop or without one."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.utils.eventio import ERR, READ

from headrace.celery.transport.waiter import Waiter

WAIT = "WAIT"
LONGEST_SECONDS = 1.0
"""No wait without a loop is longer, so that lists without a waiter are looked at."""


class Poller(kombu_redis.MultiChannelPoller):
    """Turns the channels, and knows the connections they wait on.

    Broadcasts are read as kombu does. Messages are taken in :meth:`on_poll_start`, before each wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._kicked = self._closed = False
        self._thread = threading.get_ident()
        self._loop: Any = None
        self._in_loop: dict[int, Any] = {}
        self._timers: list[Any] = []
        self._pid = os.getpid()
        self.poller.register(self._reader, READ)

    # Waking.

    def kick(self) -> None:
        """Have the next wait end at once."""
        if not self._kicked and not self._closed:
            self._kicked = True
            with suppress(OSError):
                os.write(self._writer, b"x")

    def wake(self) -> None:
        """The same, when another thread than the loop's asks."""
        if threading.get_ident() != self._thread:
            self.kick()

    def _unkick(self) -> None:
        self._kicked = False
        with suppress(OSError):
            os.read(self._reader, 64)

    # Connections.

    def listen(self, channel: Any, waiter: Waiter) -> None:
        """Wait for *waiter*'s list."""
        if waiter.connection._sock is None or (channel, waiter, WAIT) not in self._chan_to_sock:
            self._register(channel, waiter, WAIT)
        waiter.wait()

    def _on_connection_disconnect(self, connection: Any) -> None:
        """redis-py closed a connection, and its socket is gone already."""
        if self._pid != os.getpid():
            return  # the poller is still the parent's
        gone = [key for key in self._chan_to_sock if key[1].connection is connection]
        for key in gone:
            del self._chan_to_sock[key]
        pairs = {(channel, kind if kind != WAIT else waiter) for channel, waiter, kind in gone}
        for fd in [fd for fd, pair in self._fd_to_chan.items() if pair in pairs]:
            self._drop(fd)

    def _register(self, channel: Any, client: Any, kind: str) -> None:
        super()._register(channel, client, kind)
        if kind == WAIT:
            fd = client.connection._sock.fileno()
            self._fd_to_chan[fd] = (channel, client)

    def _drop(self, fd: int) -> None:
        self._fd_to_chan.pop(fd, None)
        self._in_loop.pop(fd, None)
        if self._loop is not None:
            self._loop.remove(fd)
        else:
            with suppress(KeyError, ValueError, OSError):
                self.poller.unregister(fd)

    # Turning.

    def on_poll_start(self, most: int | None = None) -> int:
        """Take and deliver messages; returns how many."""
        self._thread = threading.get_ident()
        delivered = 0
        for channel in self._channels:
            if channel.active_fanout_queues:
                self._register_LISTEN(channel)
        for channel in list(self._channels):
            if channel not in self._channels:
                continue  # closed by what was delivered
            delivered += channel.turn(most)
            if most is not None and delivered:
                break
        return delivered

    def on_readable(self, fileno: int) -> Any:
        """A connection has something to say."""
        if fileno == self._reader:
            self._unkick()
            return None
        found = self._fd_to_chan.get(fileno)
        if found is None:
            return None
        channel, kind = found
        if isinstance(kind, Waiter):
            channel.woken(kind)
            return None
        return channel.handlers[kind]()

    def handle_event(self, fileno: int, event: int) -> Any:
        """The same, outside of a loop."""
        if event & READ:
            return self.on_readable(fileno)
        if event & ERR and (found := self._fd_to_chan.get(fileno)):
            channel, kind = found
            if isinstance(kind, Waiter):
                channel.woken(kind)
            else:
                channel._poll_error(kind)
        return None

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Deliver one message or broadcast; raise ``Empty`` when there is none for a while."""
        self._in_protected_read = True
        try:
            self.maybe_refresh_binding_expiry()
            if self.on_poll_start(1):
                return
            wait = LONGEST_SECONDS if timeout is None else min(timeout, LONGEST_SECONDS)
            events = self.poller.poll(wait)
            if not events:
                self.drop_overdue_waiters()
            heard = [self.handle_event(fd, event) for fd, event in events or ()]
            if any(heard) or self.on_poll_start(1):
                return
            raise Empty
        finally:
            self._in_protected_read = False
            while self.after_read:
                self.after_read.pop()()

    def drop_overdue_waiters(self) -> None:
        """Give up connections that do not answer any more."""
        for channel in list(self._channels):
            channel.drop_overdue_waiters()

    def maybe_restore_messages(self) -> None:
        """Each owner's thread does it."""

    def on_poll_init(self, poller: Any) -> None:
        """Use the loop's poller."""
        self.poller = poller

    @property
    def fds(self) -> dict[int, Any]:
        """What to read from."""
        return {**self._fd_to_chan, self._reader: None}

    # kombu's event loop.

    def join(self, loop: Any, health_seconds: float, reauthentication_seconds: float) -> None:
        """Be part of kombu's event loop."""
        self.on_poll_init(loop.poller)
        self._loop = loop
        loop.on_tick.add(self._tick)
        repeated = (
            (1.0, self.maybe_refresh_binding_expiry),
            (health_seconds, self.maybe_check_subclient_health),
            (health_seconds, self.drop_overdue_waiters),
            (reauthentication_seconds, self.maybe_reauth),
        )
        for timer in self._timers:
            timer.cancel()
        self._timers = [loop.call_repeatedly(seconds, call) for seconds, call in repeated]

    @property
    def in_loop(self) -> bool:
        """Whether kombu's event loop turns the channels."""
        return self._loop is not None

    def _tick(self) -> None:
        if self._closed:
            return
        if self.on_poll_start():
            self.kick()  # Celery acknowledges in the loop's next turn, which must not wait
        for fd, found in list(self.fds.items()):
            sock = self._chan_to_sock.get((found[0], *_client_and_kind(found))) if found else None
            if fd not in self._loop.readers or self._in_loop.get(fd, self) is not sock:
                self._in_loop[fd] = sock
                self._loop.add_reader(fd, self.on_readable, fd)

    def close(self) -> None:
        """Forget all connections; may be called twice."""
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            for fd in list(self.fds):
                self._drop(fd)
            if self._loop is not None:
                self._loop.on_tick.discard(self._tick)
            super().close()
            os.close(self._reader)
            os.close(self._writer)


def _client_and_kind(found: Any) -> tuple[Any, str]:
    channel, kind = found
    return (kind, WAIT) if isinstance(kind, Waiter) else (channel.subclient, kind)
