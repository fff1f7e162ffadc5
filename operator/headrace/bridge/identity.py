"""Whose keys are these? Two resources of one namespace and name, in two clusters, would have the same ones."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from headrace.bridge.scripts import FencedError, script
from headrace.process.failure import Failure
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

CLAIM_MILLISECONDS = 6_000
"""How long the keys stay claimed when no pod of their resource is heard of: as long as a lease."""
BEAT_SECONDS = 1.0
LOOP = "identity"


class Identity:
    """Which resource the keys below a prefix belong to, and the name of this installation.

    The *name* is random, made once, and lies in Valkey beside what it names: the sequence ids of a bridge, above all.
    So it is another one when Valkey was emptied, when another Valkey is used, and when the resource was made anew.
    What signs with it elsewhere, as producers do in Pulsar, is never taken for what was there before, nor for a bridge
    of the same namespace and name in another cluster.

    The *claim* is for clusters that share one Valkey: all pods of a resource claim its keys by its uid, and those of
    another resource move nothing meanwhile, and say why they are not ready. A resource that was made anew takes over
    when the pods of the old one are gone.
    """

    def __init__(self, server: ValkeyServer, prefix: str, uid: str, health: Health, stop: Stop) -> None:
        self._key = f"{prefix}:identity"
        self._uid = uid
        self._identify: Any = script(server.client(), "preflight", "identify", in_full=True)
        self._health = health
        self._at_valkey = health.standing(LOOP, "valkey")
        self._stop = stop
        self._lock = threading.Lock()
        self._name = ""
        self._ours: bool | None = None

    def ours(self) -> bool:
        """Whether the keys are this resource's, as Valkey said last; the first call asks it, and raises one of
        ``VALKEY_TROUBLE``. While Valkey is away nothing changes: each script of a lease's holder fences by itself."""
        if self._ours is None:
            self._claim()
        return bool(self._ours)

    def name(self) -> str:
        """The name of this installation, as it stands in Valkey now. Raises one of ``VALKEY_TROUBLE``, or
        :class:`~headrace.bridge.scripts.FencedError`."""
        self._claim()
        if not self._ours:
            raise FencedError("another resource has the keys")
        return self._name

    def run(self) -> None:
        """Keep the claim until the stop. It then ends by itself: other pods of the resource may live."""
        tick = self._health.loop(LOOP)
        while not self._stop:
            tick()
            try:
                self._claim()
            except VALKEY_TROUBLE as error:
                self._at_valkey.failed(error)
            self._stop.wait(BEAT_SECONDS)
        self._health.done(LOOP)

    def _claim(self) -> None:
        with self._lock:
            ours, answer = self._identify(keys=[self._key], args=[self._uid, CLAIM_MILLISECONDS, secrets.token_hex(8)])
            if ours:
                self._ours, self._name = True, answer.decode()
                self._at_valkey.served()
                return
            self._ours = False
        text = (
            f"another resource of this namespace and name works with the same Valkey (uid {answer.decode()}, ours is"
            f" {self._uid}): delete or suspend it, or give this one another name or database"
        )
        self._at_valkey.failed(Failure("KeysTaken", text))
