"""Valkey's channels -> a list of our own, from which the ordinary cuts go to Pulsar.

Every replica subscribes and keeps what the holder of the lease has not put into the list yet. So the next holder goes
on where the last one ended, without a gap, if it was subscribed long enough.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Any, Protocol, cast

from prometheus_client import Counter
from valkey.exceptions import ResponseError

from headrace.api.bridge_source import PubSubSource
from headrace.bridge.channels import ChannelReader, Command
from headrace.bridge.entry import published
from headrace.bridge.lease import Lease
from headrace.bridge.scripts import FencedError, proof, raise_if_fenced, script, script_text
from headrace.bridge.tape import Place, Tape, Where
from headrace.process.health import Health
from headrace.process.logs import Seldom
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

PUT_MESSAGES = 2000
PUT_BYTES = 1024 * 1024
"""Most messages and bytes that go to the list at once."""
TAPE_BYTES = 64 * 1024 * 1024
"""How much a replica keeps that is not in the list yet."""
PUTS_IN_A_ROW = 16
"""After so many it is looked again what was received meanwhile."""
KNOWN_CHANNELS = 65_536
AHEAD_SECONDS = 10.0
"""How long a mark that the list knows may be on its way to us."""

FINISH_SECONDS = 5.0
PROOF_SECONDS = 1.0
HEARD_SECONDS = 2.5
"""The subscription is well while Valkey sent something, if only an answer to PING, so lately."""
LOOP = "channels"

OURS = b"headrace:{"
NOT_THEIRS = (OURS, b"__key")

_log = logging.getLogger(__name__)


def received_key(prefix: str) -> str:
    """The list with what was received and not cut yet."""
    return f"{prefix}:received"


class ReceptionMetrics(Protocol):
    """What is counted here."""

    gaps: Counter
    discarded: Counter
    """By reason."""


class Reception:
    """The loop of one pub/sub source. Runs in a thread of its own, with Valkey connections of its own."""

    def __init__(
        self,
        source: PubSubSource,
        prefix: str,
        lease: Lease,
        server: ValkeyServer,
        health: Health,
        metrics: ReceptionMetrics,
        stop: Stop,
    ) -> None:
        self._source = source
        self._lease = lease
        self._valkey = server.client()
        self._list_key = received_key(prefix)
        self._state_key = f"{prefix}:received-state"
        # channels are the same in every database, keys are not
        self._marks = f"{prefix}:received-marks:{server.database}".encode()
        self._put, self._proof = (make(self._valkey, "preflight", "put") for make in (script, proof))
        self._health = health
        self._tick = health.loop(LOOP)
        self._subscribed = health.standing(LOOP, "valkey")
        self._storing = health.standing(received_key(prefix), "valkey")
        self._metrics = metrics
        self._stop = stop
        self._seldom = Seldom()
        self._backoff = Backoff()
        self._tape = Tape(TAPE_BYTES)
        self._homes: dict[bytes, tuple[int, bytes]] = {}
        self._joined = False
        self._aligned = False
        self._stored = b""
        self._ahead_since: float | None = None
        self._not_before = 0.0
        self._proved_at = 0.0

    def run(self) -> None:
        """Receive until the stop."""
        while not self._stop:
            try:
                with closing(ChannelReader(self._valkey, self._commands())) as channels:
                    self._receive(channels)
            except VALKEY_TROUBLE as error:
                self._subscribed.failed(error)
            except Exception:
                _log.exception("unexpected error; subscribing again")
            self._tick()
            self._stop.wait(self._backoff.next_seconds())
        self._health.done(LOOP)

    def _commands(self) -> list[Command]:
        """What to send, in one go: what comes after the mark is received by us."""
        source = self._source
        commands: list[Command] = [("SUBSCRIBE", self._marks, *source.channels)]
        if source.patterns:
            commands.append(("PSUBSCRIBE", *source.patterns))
        commands.append(("EVAL", script_text("preflight", "join"), 1, self._state_key, self._marks))
        return commands

    def _receive(self, channels: ChannelReader) -> None:
        self._finish()
        self._tape = Tape(TAPE_BYTES)
        self._homes.clear()
        self._aligned = False
        while not self._stop:
            self._tick()
            self._record(channels, 0.1)
            if self._tape.newest_mark:
                self._backoff.reset()
                if channels.silent_seconds() < HEARD_SECONDS:
                    self._subscribed.served()
            self._put_away()
        self._record(channels, 0.0)
        self._finish()

    def _finish(self) -> None:
        """Put away what is left of a subscription that ended, if that is ours to do."""
        deadline = time.monotonic() + FINISH_SECONDS
        while self._tape and time.monotonic() < deadline:
            self._put_away()
            if not self._aligned:
                if not self._lease.held:
                    return
                time.sleep(0.1)

    def _record(self, channels: ChannelReader, seconds: float) -> None:
        """Take what has come onto the tape."""
        # a message comes once for each pattern that fits; of a channel we take what comes by the same one always
        overlapping = len(self._source.patterns) + bool(self._source.channels) > 1
        add, marks = self._tape.add, self._marks
        for reply in channels.replies(seconds):
            if not isinstance(reply, list) or reply[0] not in (b"message", b"pmessage"):
                continue  # confirmations, and answers to PING
            *_, channel, payload = reply
            if channel == marks and len(reply) == 3:
                self._mark(payload)
            elif channel.startswith(NOT_THEIRS) and _is_ours(channel, payload):
                continue
            elif not overlapping or self._homes.setdefault(channel, home := (len(reply), reply[1])) == home:
                add(published(channel, payload))

    def _mark(self, text: bytes) -> None:
        kind, number, put = text.split(b" ", 2)
        if int(number) <= self._tape.newest_mark:
            raise ResponseError("the marks begin anew: the keys of this bridge were deleted")
        self._tape.mark(int(number))
        place = Place.parse(put)
        if place is not None and not self._aligned:
            self._tape.forget(place)
        self._joined = self._joined or kind == b"join"
        if len(self._homes) > KNOWN_CHANNELS:
            self._homes.clear()  # at a mark, so never between two deliveries of one message

    def _put_away(self) -> None:
        """Move what is on the tape to the list, if that is ours to do."""
        if not (self._lease.held or self._stop):
            self._aligned = False
            self._storing.rest()
            return
        if time.monotonic() < self._not_before and not self._stop:
            return
        try:
            if not self._aligned:
                self._align()
            for _ in range(PUTS_IN_A_ROW):
                if not (self._aligned and (self._tape or self._joined)):
                    break
                self._put_once()
            self._prove()
        except FencedError:
            self._aligned = False
            self._not_before = time.monotonic() + 1.0
        except VALKEY_TROUBLE as error:
            # the list may have it although the answer was lost: the place that is stored tells
            self._aligned = False
            self._not_before = time.monotonic() + 0.2
            self._storing.failed(error)

    def _prove(self) -> None:
        """That what comes could be stored."""
        if time.monotonic() - self._proved_at > PROOF_SECONDS:
            arguments: list[Any] = [self._lease.token, self._marks, "", "", 0, 0]
            try:
                self._proof(keys=[self._list_key, self._state_key, self._lease.owner_key], args=arguments)
            except ResponseError as error:
                raise_if_fenced(error)
                raise
            self._proved_at = time.monotonic()
            self._storing.served()

    def _align(self) -> None:
        """Drop from the tape what is in the list already."""
        if not self._tape.newest_mark:
            return
        self._stored = cast("bytes | None", self._valkey.hget(self._state_key, "put")) or b""
        place = Place.parse(self._stored)
        where = self._tape.find(place) if place else Where.ON_IT
        if where is Where.AHEAD:
            self._ahead_since = self._ahead_since or time.monotonic()
            if time.monotonic() - self._ahead_since < AHEAD_SECONDS:
                return
        self._ahead_since = None
        if where is not Where.ON_IT:
            self._metrics.gaps.inc()
            _log.warning("a gap: nobody was subscribed for a while, and what was published then is lost")
        elif place:
            self._tape.forget(place)
        self._aligned = self._joined = True

    def _put_once(self) -> None:
        stretch = self._tape.oldest(PUT_MESSAGES, PUT_BYTES)
        if stretch is None:
            return
        self._joined = False
        source, end = self._source, str(stretch.end).encode()
        keys = [self._list_key, self._state_key, self._lease.owner_key]
        arguments: list[Any] = [
            self._lease.token,
            self._marks,
            self._stored,
            end,
            source.buffer_messages,
            source.buffer_bytes,
            *stretch.entries,
        ]
        try:
            refused = int(self._put(keys=keys, args=arguments))
        except ResponseError as error:
            raise_if_fenced(error)
            raise
        if refused < 0:
            self._aligned = False
            return
        self._stored = end
        self._tape.forget(stretch.end)
        self._dropped("BufferFull", refused)
        self._dropped("MemoryFull", stretch.lost)

    def _dropped(self, reason: str, number: int) -> None:
        if not number:
            return
        self._metrics.discarded.labels(reason=reason).inc(number)
        if self._seldom(reason):
            _log.warning("%s: %d messages of the channels were dropped just now", reason, number)


def _is_ours(channel: bytes, payload: bytes) -> bool:
    """Marks, and notifications about keys of ours: who moves them makes more of them without end."""
    if channel.startswith(OURS):
        return b":received-marks:" in channel
    return OURS in channel or payload.startswith(OURS)
