"""Looks at Valkey every few seconds: is it there, and how much waits."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from valkey.exceptions import ValkeyError

from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.metrics import WorkerMetrics
from headrace.process.health import Health
from headrace.process.logs import Seldom
from headrace.process.valkey_server import ValkeyServer

PERIOD_SECONDS = 5.0

_log = logging.getLogger(__name__)


def observe(worker: ValkeyWorker, server: ValkeyServer, health: Health, metrics: WorkerMetrics) -> None:
    """Start observing, in a daemon thread of the parent process."""
    queues = [queue.name for queue in worker.celery.queues]
    outbox = worker.spec.outbox.key if worker.spec.outbox else None
    client, seldom = server.client(), Seldom()

    def look() -> None:
        pipeline: Any = client.pipeline(transaction=False)
        for key in (*queues, *([outbox] if outbox else [])):
            pipeline.llen(key)
        lengths = pipeline.execute()
        for queue, length in zip(queues, lengths, strict=False):
            metrics.queue_length.labels(queue).set(length)
        if outbox:
            metrics.outbox_length.set(lengths[-1])

    def run() -> None:
        while True:
            try:
                look()
                health.connection("valkey", True)
            except (ValkeyError, OSError) as error:
                health.connection("valkey", False)
                if seldom(str(error)):
                    _log.warning("valkey is away (%s: %s)", type(error).__name__, error)
            time.sleep(PERIOD_SECONDS)

    threading.Thread(target=run, name="observer", daemon=True).start()
