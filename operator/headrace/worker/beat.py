"""The scheduler of periodic tasks in a worker's pod: one pod's is active, the others stand by."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

import celery

from headrace.celery.beat import Scheduler
from headrace.celery.beat_store import BeatStore, LeaseLostError
from headrace.celery.context import Context
from headrace.process.stop import Backoff
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

LOOP = "periodic tasks"
PERIOD_SECONDS = 1.0
"""How often the lease is renewed, or asked for."""

_log = logging.getLogger(__name__)


class Beat:
    """Runs in a daemon thread of the parent process until *stopping* is set."""

    def __init__(self, app: celery.Celery, context: Context, server: ValkeyServer, stopping: threading.Event) -> None:
        self._app, self._context, self._stopping = app, context, stopping
        self._store = BeatStore(server.client(), context.worker.key_prefix)
        self._scheduler: Scheduler | None = None
        self._backoff = Backoff()
        self._at_valkey = context.health.standing(LOOP, "valkey")

    def start(self) -> None:
        """Start it."""
        threading.Thread(target=self._run, name="beat", daemon=True).start()

    def _run(self) -> None:
        tick = self._context.health.loop(LOOP)
        while not self._stopping.is_set():
            try:
                seconds = self._turn()
                self._store.prove()
                self._at_valkey.served()
                self._backoff.reset()
            except LeaseLostError:
                self._stand_by()
                self._at_valkey.served()
                seconds = PERIOD_SECONDS
            except Exception as error:  # whatever the broker's client raises
                self._stand_by()
                seconds = self._backoff.next_seconds()
                self._at_valkey.failed(error)
            tick()
            self._stopping.wait(seconds)
        self._context.health.done(LOOP)
        self._stand_by()
        with suppress(*VALKEY_TROUBLE):
            self._store.leave()

    def _turn(self) -> float:
        """Send what is due; returns how long nothing will be."""
        if not self._store.hold():
            self._stand_by()
            return PERIOD_SECONDS
        if self._scheduler is None:
            self._scheduler = Scheduler(self._app, self._store, self._count)
            self._context.metrics.beat_active.set(1)
            _log.info("this pod sends the periodic tasks: %s", ", ".join(sorted(self._scheduler.schedule)))
        return min(float(self._scheduler.tick()), PERIOD_SECONDS)

    def _count(self, name: str, made: bool) -> None:
        (self._context.metrics.beat_sent if made else self._context.metrics.beat_skipped).labels(name).inc()

    def _stand_by(self) -> None:
        """Forget the schedule: whoever is active next reads it from Valkey."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._context.metrics.beat_active.set(0)
            with suppress(Exception):  # its connection may be what is broken
                scheduler.close()
