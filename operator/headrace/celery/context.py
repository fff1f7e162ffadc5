"""What Celery's own classes need of us; it hangs on the app as `app.headrace`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.api.celery_runtime import Pool
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.execution import Execution
from headrace.celery.ledger import Ledger
from headrace.celery.metrics import WorkerMetrics
from headrace.process.health import Health, Tick


@dataclass
class Context:
    """One worker process."""

    worker: ValkeyWorker
    execution: Execution
    ledger: Ledger
    metrics: WorkerMetrics
    health: Health
    tick: Tick

    @property
    def runs_inline(self) -> bool:
        """Whether a running task keeps the consumer's loop from turning."""
        return self.worker.celery.pool is Pool.SOLO


def context_of(app: Any) -> Context:
    """The context that :mod:`headrace.worker.main` hung on *app*."""
    context: Context = app.headrace
    return context
