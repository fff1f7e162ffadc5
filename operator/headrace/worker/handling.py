"""The process of a worker with a plain handler: the modes PubSub, Polling and Stream. Celery is not imported."""

from __future__ import annotations

import logging
import os
import sys

from headrace.api.valkey_worker import ValkeyWorker
from headrace.handlers.handler import Slots, load_handler
from headrace.handlers.judgement import Judge
from headrace.handlers.keeper import Keeper
from headrace.handlers.metrics import HandlerMetrics
from headrace.handlers.place import place_of
from headrace.handlers.reception import SharedReception
from headrace.handlers.reservations import Reservations
from headrace.handlers.runner import Runner, leave
from headrace.process import logs
from headrace.process.configuration import Secrets
from headrace.process.health import Health
from headrace.process.http import ProbeServer
from headrace.process.metrics import exposition
from headrace.process.stop import Stop
from headrace.process.valkey_server import ValkeyServer

_BLOCKS = {"PubSub": "pubSub", "Polling": "polling", "Stream": "stream"}

_log = logging.getLogger(__name__)


def serve(worker: ValkeyWorker, secrets: Secrets) -> int:
    """Handle messages until SIGTERM; returns the exit status. Raises ``FatalConfigurationError``."""
    stop = Stop()
    stop.on_signals()
    server = ValkeyServer.of(worker.spec.valkey, secrets)
    runtime = worker.runtime
    handler = load_handler(f"{_BLOCKS[worker.spec.mode]}.handler", runtime.handler)
    logs.configure(secrets.values, worker.identity)  # importing the handler may have changed it
    metrics, health = HandlerMetrics(), Health()
    judge, place, client = Judge(worker), place_of(worker), server.client()
    reservations = Reservations(client, place.kind, judge.lists, runtime.lease_seconds)
    slots = Slots(handler, runtime.concurrency)
    runner = Runner(
        place,
        reservations,
        slots,
        judge,
        health,
        metrics,
        stop,
        concurrency=runtime.concurrency,
        batch_size=runtime.batch_size,
    )
    outbox = worker.spec.outbox.key if worker.spec.outbox else None
    reception = None
    if worker.spec.pub_sub is not None:
        reception = SharedReception(worker, worker.spec.pub_sub, server, health, metrics)
        reception.start()
    Keeper(runner, place, reservations, server.client(), health, metrics, outbox=outbox).start()
    probes = ProbeServer(health, lambda: exposition(metrics.registry, worker))
    _log.info("started")
    runner.run()
    if reception is not None:
        reception.stop()
    runner.drain(worker.drain_seconds)
    if reception is not None:
        reception.join()
    leave(place, client)
    probes.close()
    _log.info("stopped")
    logging.shutdown()
    sys.stdout.flush()
    # A handler may still run, in a thread that nobody can end; its message was handed back.
    os._exit(0)
