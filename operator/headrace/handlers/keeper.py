"""What is done every few seconds beside the handler: leases are renewed, backlogs counted, keys tended."""

from __future__ import annotations

import threading
import time
from typing import Any

import valkey

from headrace.handlers.metrics import HandlerMetrics
from headrace.handlers.place import Place
from headrace.handlers.reservations import Reservations
from headrace.handlers.runner import Runner
from headrace.process.health import Health
from headrace.process.valkey_server import VALKEY_TROUBLE

LOOP = "leases"
LOOK_SECONDS = 5.0
RENEW_SECONDS = 1.0
"""A third of the shortest lease."""


class Keeper:
    """Runs in a daemon thread until the process ends: what still runs at the stop needs its leases."""

    def __init__(
        self,
        runner: Runner,
        place: Place,
        reservations: Reservations,
        client: valkey.Valkey,
        health: Health,
        metrics: HandlerMetrics,
        *,
        outbox: str | None,
    ) -> None:
        self._runner = runner
        self._place = place
        self._reservations = reservations
        self._client = client
        self._tick = health.loop(LOOP)
        self._at_valkey = health.standing(LOOP, "valkey")
        self._metrics = metrics
        self._outbox = outbox
        self._looked = 0.0

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="keeper", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._tick()
            try:
                self._reservations.renew(self._runner.held())
                if time.monotonic() - self._looked > LOOK_SECONDS:
                    self._look()
                    self._looked = time.monotonic()
                self._at_valkey.served()
            except VALKEY_TROUBLE as error:
                self._at_valkey.failed(error)
            time.sleep(RENEW_SECONDS)

    def _look(self) -> None:
        waiting = self._place.waiting(self._client)
        if waiting is not None:
            self._metrics.backlog.set(waiting)
        if self._outbox is not None:
            length: Any = self._client.llen(self._outbox)
            self._metrics.outbox_length.set(length)
        self._place.tend(self._client)
