"""The process of a worker in mode Celery."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import billiard.util
import celery
from celery import signals
from celery.exceptions import CPendingDeprecationWarning

from headrace.api.celery_broker import BrokerType
from headrace.api.policy import WINDOW_SECONDS
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery import needs, rabbitmq
from headrace.celery.app import configure, load_app
from headrace.celery.brokers import access_of
from headrace.celery.context import Context
from headrace.celery.execution import Execution
from headrace.celery.ledger import Ledger
from headrace.celery.metrics import WorkerMetrics
from headrace.celery.refusals import refusal_writer
from headrace.celery.transport import letter
from headrace.process import logs
from headrace.process.configuration import Secrets
from headrace.process.health import Health
from headrace.process.http import ProbeServer
from headrace.process.metrics import exposition
from headrace.process.valkey_server import ValkeyServer
from headrace.worker.beat import Beat
from headrace.worker.broker_observer import BrokerObserver
from headrace.worker.drain import Drain
from headrace.worker.observer import Observer

LOOP = "the consumer's loop"
KIBIBYTES = 1024
"""In a mebibyte; Celery counts memory in kibibytes."""

_log = logging.getLogger(__name__)


def serve(worker: ValkeyWorker, secrets: Secrets) -> int:
    """Run Celery until SIGTERM; returns the exit status. Raises ``FatalConfigurationError``."""
    server = ValkeyServer.of(worker.spec.valkey, secrets)
    app = load_app(worker.celery.app)
    logs.configure(secrets.values, worker.identity)  # importing the app may have changed it
    configure(app, worker, server, access_of(worker, secrets))
    return _serve(app, worker, server)


def _serve(app: celery.Celery, worker: ValkeyWorker, server: ValkeyServer) -> int:
    metrics = WorkerMetrics()
    kind = worker.broker.type
    health = Health()
    window = worker.spec.outbox.window_seconds if worker.spec.outbox else WINDOW_SECONDS
    ledger = Ledger(server, worker.key_prefix, window)
    execution = Execution(worker, ledger)
    execution.install(app)
    context = Context(worker, execution, ledger, metrics, health, health.loop(LOOP))
    app.headrace = context
    letter.writers[worker.key_prefix] = refusal_writer(context)
    rabbitmq.install()
    drain = Drain(context, LOOP)
    _connect_signals(context, drain)
    probes = ProbeServer(health, lambda: exposition(metrics.registry, worker))
    elsewhere = None if kind is BrokerType.VALKEY else BrokerObserver(app, context)
    if elsewhere:
        elsewhere.start()
    Observer(context, server, elsewhere, needs.of_worker(worker, app)).start()
    if worker.celery.beat.enabled:
        # Not before the pool has its children: a thread that imports while they are forked could lock them for ever.
        beat = Beat(app, context, server, drain.begun)
        signals.worker_ready.connect(lambda **_: beat.start(), weak=False)
    code = _start(app, context, drain)
    probes.close()
    _log.info("stopped")
    # Under gevent results complain, as plain text, that their greenlet is gone while the interpreter ends.
    sys.unraisablehook = lambda _: None
    return code


def _start(app: celery.Celery, context: Context, drain: Drain) -> int:
    """Run Celery in this process until a signal ends it."""
    runtime = context.worker.celery
    memory = runtime.max_memory_per_child_mebibytes
    controller = app.Worker(
        hostname=context.hostname,
        queues=[queue.name for queue in runtime.queues],
        concurrency=runtime.slots,
        pool=runtime.pool.value.lower(),
        time_limit=runtime.time_limit_seconds,
        soft_time_limit=runtime.soft_time_limit_seconds,
        max_tasks_per_child=runtime.max_tasks_per_child,
        max_memory_per_child=memory * KIBIBYTES if memory else None,
        without_mingle=True,
        without_gossip=True,
        loglevel="INFO",
        quiet=True,
    )
    # Celery and its process pool write some lines past the logging that was set up, as plain text
    sys.__stdout__ = Path(os.devnull).open("w")  # type: ignore[misc]  # noqa: SIM115
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    billiard_logger = billiard.util.get_logger()
    billiard_logger.propagate = True
    billiard_logger.setLevel(logging.WARNING)
    # Two lines a task, one with its whole result: payloads are no log's business, and the metrics count
    for chatty in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    _log.info("started")
    controller.start()
    # Celery's exit code of a stop by signal says how it ended, not that anything is wrong
    return context.exit_status if drain.heard else int(controller.exitcode or 0)


def _connect_signals(context: Context, drain: Drain) -> None:
    """Hear of readiness and stop. Celery keeps only weak references, hence ``weak=False``."""

    def setup_logging(**_: Any) -> None:
        """Our JSON logs stay as they are: a receiver here keeps Celery from setting up its own."""

    def on_ready(sender: Any, **_: Any) -> None:
        context.consumer = sender
        runtime = context.worker.celery
        context.metrics.serving(context.hostname, [queue.name for queue in runtime.queues], runtime.slots)
        context.health.register()

    signals.setup_logging.connect(setup_logging, weak=False)
    signals.worker_ready.connect(on_ready, weak=False)
    drain.connect()
