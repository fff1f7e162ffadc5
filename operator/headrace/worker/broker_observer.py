"""Looks every few seconds at a broker that is not Valkey: is it there, and how much waits."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import celery

from headrace.celery.brokers import SIDES
from headrace.celery.context import Context

PERIOD_SECONDS = 5.0
"""SQS bills each look."""
PATIENCE_SECONDS = 9.0

_log = logging.getLogger(__name__)


class BrokerObserver:
    """The observer of one process; it works in a daemon thread of the parent, over a connection of its own."""

    def __init__(self, app: celery.Celery, context: Context) -> None:
        self._app = app
        self._context = context
        side = SIDES[context.worker.broker.type]
        self._standing = context.health.standing("tasks", side, patience_seconds=PATIENCE_SECONDS)
        self._queues = [queue.name for queue in context.worker.celery.queues]
        self.waiting: dict[str, int] = {}
        """Tasks that wait, by queue; empty while that is not known."""

    def start(self) -> None:
        """Start observing."""
        threading.Thread(target=self._run, name="broker observer", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self._watch()
            except Exception as error:  # whatever the broker's library raises: the thread must live
                self.waiting = {}
                self._standing.failed(error)
            time.sleep(PERIOD_SECONDS)

    def _watch(self) -> None:
        with self._app.connection_for_read() as connection:
            while True:
                with connection.channel() as channel:
                    self._look(channel)
                self._standing.served()
                time.sleep(PERIOD_SECONDS)

    def _look(self, channel: Any) -> None:
        waiting = {name: channel.queue_declare(queue=name, passive=True).message_count for name in self._queues}
        for name, count in waiting.items():
            self._context.metrics.queue_length.labels(name).set(count)
        self.waiting = waiting
