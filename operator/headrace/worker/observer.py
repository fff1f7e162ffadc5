"""Looks at Valkey every few seconds: is it there, how much waits, and does this worker take it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

from celery.worker import state
from valkey.exceptions import ValkeyError

from headrace.api import task_count
from headrace.celery.context import Context
from headrace.celery.transport import refusals
from headrace.celery.watchdog import HOUR_SECONDS, RESTARTS_PER_HOUR, Remedy, Watchdog
from headrace.process.configuration import leave_word
from headrace.process.needs import Need, Needs
from headrace.process.valkey_server import ValkeyServer
from headrace.worker.broker_observer import BrokerObserver

PERIOD_SECONDS = 2.0
ALIVE_SECONDS = 10.0
"""A loop that turned so recently is connected."""

_log = logging.getLogger(__name__)


class Observer:
    """The observer of one process; it works in a daemon thread of the parent."""

    def __init__(
        self, context: Context, server: ValkeyServer, elsewhere: BrokerObserver | None, needs: Sequence[Need]
    ) -> None:
        """*elsewhere*: who counts the tasks when they are not in Valkey. *needs*: what the tasks need of it."""
        worker = context.worker
        self._context = context
        self._at_valkey = context.health.standing("tasks", "valkey")
        self._transport = context.health.standing("transport", "valkey")
        self._transport.rest()
        self._client = server.client()
        self._needs = Needs(self._client, needs, in_full=True)
        self._elsewhere = elsewhere
        self._queues = [] if elsewhere else [queue.name for queue in worker.celery.queues]
        self._outbox = worker.spec.outbox.key if worker.spec.outbox else None
        patience = worker.celery.not_consuming_seconds
        self._period = min(PERIOD_SECONDS, patience / 5)
        self._watchdog = Watchdog(patience, self._period)
        self._prefix = worker.key_prefix
        self._restarts = f"{worker.key_prefix}:restarts:{context.hostname}"

    def start(self) -> None:
        """Start observing."""
        active = self._context.metrics.tasks_active.labels(self._context.hostname)
        active.set_function(lambda: len(state.active_requests))
        threading.Thread(target=self._run, name="observer", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                waiting = self._look()
                self._needs.prove()
                self._at_valkey.served()
                if failure := refusals.present():
                    self._transport.failed(failure)
                else:
                    self._transport.rest()
                self._watch(waiting)
            except (ValkeyError, OSError) as error:
                self._at_valkey.failed(error)
                self._remedy({}, connected=False)
            time.sleep(self._period)

    def _look(self) -> dict[str, int]:
        """What waits in each queue; the figures are set."""
        pipeline: Any = self._client.pipeline(transaction=False)
        asked = task_count.questions(self._prefix, self._queues)
        for question in asked:
            pipeline.execute_command(*question)
        if self._outbox:
            pipeline.llen(self._outbox)
        lengths = pipeline.execute()
        waiting = task_count.waiting(self._queues, lengths)
        metrics = self._context.metrics
        if not self._elsewhere:
            metrics.in_flight.set(lengths[len(asked) - 1])
        for queue, length in waiting.items():
            metrics.queue_length.labels(queue).set(length)
        if self._outbox:
            metrics.outbox_length.set(lengths[-1])
        return self._elsewhere.waiting if self._elsewhere else waiting

    def _watch(self, waiting: dict[str, int]) -> None:
        """Help a consumer that is deaf; what it was told not to serve (``cancel_consumer``) does not count."""
        tick = self._context.tick
        connected = not tick.paused and tick.age_seconds() < ALIVE_SECONDS
        remedy = self._remedy(waiting, connected=connected)
        if remedy is None or self._context.last_words:
            return
        count = self._context.metrics.restarts.labels(remedy.value)
        if remedy is Remedy.CONSUMER:
            count.inc()
            _log.error("tasks wait and this worker takes none; it connects anew")
            self._context.deaf.set()
        elif self._may_end():
            count.inc()
            self._context.last_words = "tasks wait, this worker takes none, and connecting anew did not help."
            _log.critical("%s The process ends, to be started anew.", self._context.last_words)
            leave_word(self._context.last_words)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            _log.critical("tasks wait, this worker takes none, and %d new starts did not help", RESTARTS_PER_HOUR)

    def _remedy(self, waiting: dict[str, int], *, connected: bool) -> Remedy | None:
        context = self._context
        served = context.consumer.app.amqp.queues.consume_from if context.consumer else ()
        remedy = self._watchdog.look(
            time.monotonic(),
            waiting=sum(length for queue, length in waiting.items() if queue in served),
            held=len(context.held),
            taken=context.taken,
            connected=connected,
        )
        context.metrics.not_consuming.set(self._watchdog.idle_seconds)
        return remedy

    def _may_end(self) -> bool:
        """Whether this pod ended itself seldom enough in the last hour; counted where a new process finds it."""
        pipeline: Any = self._client.pipeline()
        pipeline.incr(self._restarts).expire(self._restarts, int(HOUR_SECONDS), nx=True)
        return int(pipeline.execute()[0]) <= RESTARTS_PER_HOUR
