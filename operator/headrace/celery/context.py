"""What Celery's own classes need of us; it hangs on the app as `app.headrace`."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

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
    held: WeakSet[Any] = field(default_factory=WeakSet)
    """Requests that are neither acknowledged nor given back: running, waiting for a slot, for a time, for a rate."""
    taken: int = 0
    """Messages that came from the broker so far."""
    deaf: threading.Event = field(default_factory=threading.Event)
    """Set by the observer: the consumer should connect anew."""
    consumer: Any = None
    """Celery's consumer, once it is at work."""
    last_words: str | None = None
    """Why the process ends by itself; None while it ends only when it is told to."""

    @property
    def exit_status(self) -> int:
        """With which status the process ends when it stops."""
        return os.EX_SOFTWARE if self.last_words else 0

    @property
    def hostname(self) -> str:
        """Celery's name of this worker."""
        return f"{self.worker.metadata.name}@{socket.gethostname()}"

    @property
    def runs_inline(self) -> bool:
        """Whether a running task keeps the consumer's loop from turning."""
        return self.worker.celery.pool is Pool.SOLO


def context_of(app: Any) -> Context:
    """The context that :mod:`headrace.worker.main` hung on *app*."""
    context: Context = app.headrace
    return context
