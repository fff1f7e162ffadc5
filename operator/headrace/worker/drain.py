# mypy: disallow-untyped-calls=False
"""The staged stop of a Celery worker: finish what runs, give the rest back, end in time."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from billiard import active_children
from celery import signals
from kombu.common import ignore_errors

from headrace.api.celery_runtime import Pool
from headrace.celery.context import Context
from headrace.celery.returns import give_back
from headrace.celery.transport.owner import tell_all

LAST_SECONDS = 3.0
"""How long Celery's own cold shutdown may take; it is within the margin that `drain_seconds` keeps."""

_log = logging.getLogger(__name__)


class Drain:
    """Begins with the first SIGTERM; a second one changes nothing."""

    def __init__(self, context: Context, loop: str) -> None:
        self._context = context
        self._loop = loop
        self.heard = False
        """Whether a signal asked for the stop."""
        self.begun = threading.Event()

    def connect(self) -> None:
        """Hear of the stop. Celery keeps only weak references, hence ``weak=False``."""
        signals.worker_shutting_down.connect(self._hear, weak=False)

    def _hear(self, **_: Any) -> None:
        """A signal's handler: it may interrupt whoever holds a lock, and under gevent it may not wait at all."""
        if not self.heard:
            self.heard = True
            _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        worker = self._context.worker
        self.begun.set()
        self._context.metrics.serving(self._context.hostname, [queue.name for queue in worker.celery.queues], 0)
        self._context.health.done(self._loop)  # the loop stands still while tasks finish
        seconds = worker.drain_seconds
        _log.info("stopping; running tasks have %d s", seconds)
        self._stop_taking()
        time.sleep(seconds)
        if worker.celery.pool is Pool.PREFORK:
            # Celery's cold shutdown ends the children and gives their tasks back. Of the other pools it cannot end a
            # thread, and would end a task of the main thread by an exception of its own.
            os.kill(os.getpid(), signal.SIGQUIT)
            time.sleep(LAST_SECONDS)
        self._cut_off()

    def _stop_taking(self) -> None:
        """Let the loop see now that it is to stop; it could take tasks for two seconds more."""
        consumer = self._context.consumer
        if consumer is None:
            return
        if consumer.hub is not None:
            consumer.call_soon(lambda: None)  # it turns
        elif consumer.task_consumer is not None:  # under gevent, which has one thread: nobody else is at it
            ignore_errors(consumer, consumer.task_consumer.cancel)

    def _cut_off(self) -> None:
        """Give back what still runs, and end at once, before the pod is killed."""
        held = [request for request in [*self._context.held] if not request.acknowledged]
        _log.warning("%d tasks did not end in time; they are given back", len(held))
        for child in active_children():  # deaf to SIGTERM
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for request in held:
            try:
                give_back(request.message)
            except Exception as error:  # whatever the broker's client raises; its lease gives the task back later
                _log.warning("%s[%s] is not given back: %r", request.name, request.id, error)
        tell_all()
        logging.shutdown()
        os._exit(self._context.exit_status)
