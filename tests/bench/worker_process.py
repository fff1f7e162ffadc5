# mypy: disallow-untyped-calls=False
"""The processes of the workers' bench: ``python -m tests.bench.worker_process NAME JSON``.

All contenders run the same app with the same settings, and those that lose no task: acknowledged late, Celery's own
prefetch. They differ in the URLs of broker and results only.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery
from celery import signals
from celery.platforms import SecurityWarning

from headrace.celery.enqueue import enqueue_many
from tests.bench.tally import Tally

NOOP, RESULT, SHORT, LONG, HOLD = "bench.noop", "bench.result", "bench.short", "bench.long", "bench.hold"


def application(broker: str, results: str, tally: str = "") -> celery.Celery:
    """The app; its tasks count in the file *tally*."""
    app = celery.Celery("bench", broker=broker, backend=results)
    app.conf.update(
        task_acks_late=True,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    count = Tally(Path(tally)).add if tally else lambda: None
    holds = "HEADRACE_BENCH_HOLD" in os.environ

    def noop() -> None:
        count()

    def short() -> None:
        time.sleep(0.001)
        count()

    def long() -> None:
        time.sleep(0.05)
        count()

    def hold() -> None:
        if holds:
            time.sleep(3600)
        count()

    for name, body in ((NOOP, noop), (SHORT, short), (LONG, long), (HOLD, hold)):
        app.task(name=name, ignore_result=True, shared=False)(body)
    app.task(name=RESULT, shared=False)(noop)
    return app


def work(urls: dict[str, str], tally: str, pool: str, concurrency: int, fill: int) -> None:
    """Run a worker until it is killed; says ``ready``. *fill*: tasks that an in-memory broker holds before."""
    warnings.simplefilter("ignore", SecurityWarning)  # of running as root
    app = application(**urls, tally=tally)
    for _ in range(fill):
        app.tasks[NOOP].delay()
    signals.worker_ready.connect(lambda **_: print("ready", flush=True), weak=False)  # noqa: T201
    signals.setup_logging.connect(lambda **_: None, weak=False)
    app.Worker(
        pool=pool,
        concurrency=concurrency,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        loglevel="ERROR",
        quiet=True,
    ).start()


def delay(urls: dict[str, str], calls: int) -> None:
    """``delay()``, one after the other."""
    call = application(**urls).tasks[NOOP].delay
    call()
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(calls):
        call()
    _report(calls, began, cpu)


def batch(urls: dict[str, str], calls: int) -> None:
    """``enqueue_many()``."""
    task = application(**urls).tasks[NOOP]
    enqueue_many(task, [()])
    began, cpu = time.monotonic(), time.process_time()
    enqueue_many(task, (() for _ in range(calls)))
    _report(calls, began, cpu)


def _report(calls: int, began: float, cpu: float) -> None:
    took, used = time.monotonic() - began, time.process_time() - cpu
    print(json.dumps({"rate": calls / took, "cpu": used / calls * 1e6}), flush=True)  # noqa: T201


if __name__ == "__main__":
    arguments: dict[str, Any] = json.loads(sys.argv[2])
    entries: dict[str, Callable[..., None]] = {"work": work, "delay": delay, "batch": batch}
    entries[sys.argv[1]](**arguments)
