"""The way to one destination, with its circuit breaker: when to wait, and who else knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import valkey

from headrace.api.policy import CircuitBreaker
from headrace.bridge.breaker import Breaker, State
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.scripts import script
from headrace.process.failure import NOT_PERMITTED, failure_of
from headrace.process.logs import Seldom
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE

PROBE_MESSAGES = 10
"""Most messages in a batch while it is not known whether the destination is back."""

LOOK_SECONDS = 1.0

VALKEY = "valkey"
"""The destination of a bridge that reads from Pulsar; the others are topics."""

_NUMBERS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}

_log = logging.getLogger(__name__)


class Circuit:
    """What all replicas know of one destination stands in a hash in Valkey, where the operator reads it.

    *shared*: whether the replicas go by it. Not where Valkey itself is the destination: then each goes by what it saw,
    and the hash is only told. Without a *policy* nothing is ever held back.
    """

    def __init__(
        self,
        policy: CircuitBreaker | None,
        destination: str,
        client: valkey.Valkey,
        prefix: str,
        metrics: BridgeMetrics,
        stop: Stop,
        *,
        shared: bool,
    ) -> None:
        self._policy = policy
        self._destination = destination
        self._client = client
        self._key = f"{prefix}:breaker"
        self._replace = script(client, "breaker")
        self._metrics = metrics
        self._stop = stop
        self._shared = shared
        self._breaker = Breaker()
        self._told: bytes | None = None
        """What stands in Valkey, as far as we know."""
        self._looked = 0.0
        self._seldom = Seldom()

    @property
    def probing(self) -> bool:
        """Whether the next batch should be a small one."""
        return self._state() is State.HALF_OPEN

    def hold(self, tick: Callable[[], None]) -> bool:
        """Wait while it is open, calling *tick* every second; False when the stop came."""
        while not self._stop:
            tick()
            if self.look() is not State.OPEN:
                return True
            assert self._policy is not None
            self._stop.wait(min(LOOK_SECONDS, self._breaker.wait_seconds(self._policy, time.time())))
        return False

    def look(self) -> State:
        """The state as all replicas know it; asks about once a second."""
        if self._policy and self._shared and time.monotonic() - self._looked > LOOK_SECONDS * 0.9:
            self._looked = time.monotonic()
            try:
                found: Any = self._client.hget(self._key, self._destination)
            except VALKEY_TROUBLE as error:
                self._not_shared(error)
            else:
                self._told = found or b""
                self._breaker = Breaker.parse(self._told)
        return self._show()

    def failed(self, error: Exception) -> bool:
        """The destination failed; whether it is open now, so that :meth:`hold` does the waiting."""
        policy = self._policy
        if policy is None:
            return False
        text = f"{type(error).__name__}: {error}"
        before = self._state()
        self._change(lambda known: known.failed(policy, time.time(), text))
        state = self._show()
        if state is State.OPEN and before is not State.OPEN:
            self._metrics.breaker_opened.labels(destination=self._destination).inc()
            _log.warning("%s: open for %d s (%s)", self._destination, policy.open_seconds, text)
        return state is State.OPEN

    def succeeded(self) -> None:
        """The destination took a batch, or answers while there is nothing to send."""
        policy = self._policy
        if policy is None or (self._told == b"" and self._breaker == Breaker()):
            return
        before = self._state()
        self._change(lambda known: known.succeeded(policy))
        if self._show() is State.CLOSED and before is not State.CLOSED:
            _log.info("%s: closed again", self._destination)

    def _state(self) -> State:
        return self._breaker.state(self._policy, time.time()) if self._policy else State.CLOSED

    def _show(self) -> State:
        state = self._state()
        if self._policy:
            self._metrics.breaker_state.labels(destination=self._destination).set(_NUMBERS[state])
        return state

    def _change(self, event: Callable[[Breaker], Breaker]) -> None:
        """Let *event* happen to what all replicas know; to what this one knows when Valkey does not answer."""
        before = self._breaker
        self._breaker = event(before)
        if not self._shared and self._told is not None and before.opened_at == self._breaker.opened_at:
            return
        try:
            while True:
                wire = self._breaker.to_wire()
                found: bytes = self._replace(keys=[self._key], args=[self._destination, self._told or b"", wire])
                self._told = found
                if found == wire:
                    return
                if self._shared:
                    self._breaker = event(Breaker.parse(found))
        except VALKEY_TROUBLE as error:
            self._told = None
            self._not_shared(error)

    def _not_shared(self, error: Exception) -> None:
        """Valkey that is away is told by others; a right that is missing for this alone by nobody else."""
        if failure_of(error).reason == NOT_PERMITTED.reason and self._seldom(str(error)):
            _log.warning("other replicas are not told of failures, nor asked (%s)", error)
