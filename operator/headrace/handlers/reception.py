"""What receives from channels for a worker: one pod writes to the list that all pods take from, the others listen."""

from __future__ import annotations

import logging
import threading
from typing import Any

from valkey.exceptions import ValkeyError

from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import PubSub
from headrace.bridge import reception as bridge_reception
from headrace.bridge.lease import Lease
from headrace.bridge.scripts import FencedError
from headrace.handlers.metrics import HandlerMetrics
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

LOOP = "lease of the channels"
RENEW_SECONDS = 1.0
END_SECONDS = 10.0

_log = logging.getLogger(__name__)


def _prefix(worker: ValkeyWorker) -> str:
    """Not that of a bridge of the same namespace and name, whose keys begin alike."""
    return f"{worker.key_prefix}:channels"


def received_key(worker: ValkeyWorker) -> str:
    """The list with what was received and nobody has taken."""
    return bridge_reception.received_key(_prefix(worker))


class SharedReception:
    """A reception and its lease, in two threads."""

    def __init__(
        self, worker: ValkeyWorker, source: PubSub, server: ValkeyServer, health: Health, metrics: HandlerMetrics
    ) -> None:
        self._stop = Stop()
        self._worker = worker
        self._valkey: Any = server.client()
        self._lease = Lease(server.client(), _prefix(worker))
        self._health = health
        self._tick = health.loop(LOOP)
        self._at_valkey = health.standing(LOOP, "valkey")
        reception = bridge_reception.Reception(
            source, _prefix(worker), self._lease, server, health, metrics, self._stop
        )
        self._receiving = threading.Thread(target=reception.run, name="reception", daemon=True)
        self._holding = threading.Thread(target=self._hold, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._receiving.start()
        self._holding.start()

    def stop(self) -> None:
        """Begin to put away what was received, and to let another pod go on."""
        self._stop.request()

    def join(self) -> None:
        """Wait until it did."""
        self._receiving.join(END_SECONDS)
        self._holding.join(END_SECONDS)

    def _hold(self) -> None:
        while not self._stop or self._receiving.is_alive():
            self._tick()
            try:
                self._keep()
                self._at_valkey.served()
            except FencedError:
                self._lease.held = False
            except VALKEY_TROUBLE as error:
                self._lease.held = False
                self._at_valkey.failed(error)
            if self._stop:
                self._receiving.join(RENEW_SECONDS)
            else:
                self._stop.wait(RENEW_SECONDS)
        self._health.done(LOOP)
        try:
            if self._lease.held:
                self._lease.release()
        except (FencedError, ValkeyError, OSError):
            _log.info("the lease of the channels ends by itself")

    def _keep(self) -> None:
        if self._lease.held:
            self._lease.renew()
        elif not self._stop and self._lease.acquire():
            self._take_over()

    def _take_over(self) -> None:
        """What a version before this one received lies where a bridge of the same name would put it: if there is none,
        it is ours."""
        prefix = self._worker.key_prefix
        before, now = bridge_reception.received_key(prefix), received_key(self._worker)
        if not self._valkey.exists(f"{prefix}:identity"):
            while self._valkey.lmove(before, now, "RIGHT", "RIGHT") is not None:
                pass
