"""Celery's request, counted. It lives in the parent process, under every pool."""

from __future__ import annotations

import functools
from typing import Any

from billiard.exceptions import Terminated
from celery.exceptions import Ignore, Reject, Retry, TimeLimitExceeded, WorkerLostError
from celery.worker import request as celery_request

from headrace.api.celery_broker import BrokerType
from headrace.celery.context import context_of
from headrace.celery.execution import TaskLostError
from headrace.tasks import Refused

NOT_FAILED = (Ignore, Reject, Retry, SystemExit, Terminated, TimeLimitExceeded, WorkerLostError)
"""Not the end of a task: the last four are given back to the queue, and counted when they are given up."""


class Request(celery_request.Request):
    """Counts what happens to a task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context_of_worker = context_of(self._app)
        self._labels = (self.name, self._hostname, (self.delivery_info or {}).get("routing_key", ""))
        # The class that Celery makes of this one brings its own on_success, so the instance's must come before it.
        self._celery_on_success: Any = functools.partial(type(self).on_success, self)
        self.__dict__["on_success"] = self._on_success
        self._context_of_worker.metrics.received.labels(*self._labels).inc()
        self._context_of_worker.taken += 1
        self._context_of_worker.held.add(self)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """The pool took the task."""
        metrics = self._context_of_worker.metrics
        metrics.started.labels(*self._labels).inc()
        metrics.last_task.set_to_current_time()
        if self._context_of_worker.runs_inline:
            self._context_of_worker.tick.pause()
        super().on_accepted(pid, time_accepted)

    def _on_success(self, failed__retval__runtime: tuple[Any, Any, float], **kwargs: Any) -> None:
        metrics = self._context_of_worker.metrics
        failed, _, runtime = failed__retval__runtime
        metrics.last_task.set_to_current_time()
        if not failed:
            metrics.succeeded.labels(*self._labels).inc()
            metrics.runtime.labels(*self._labels).observe(runtime or 0.0)
        self._celery_on_success(failed__retval__runtime, **kwargs)

    def on_retry(self, exc_info: Any) -> None:
        """The task will be tried again."""
        self._context_of_worker.metrics.retried.labels(*self._labels).inc()
        super().on_retry(exc_info)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The task raised, or took its process down."""
        error = exc_info.exception
        error = getattr(error, "exc", error) if type(error).__name__ == "ExceptionWithTraceback" else error
        if not isinstance(error, NOT_FAILED):
            metrics = self._context_of_worker.metrics
            metrics.failed.labels(*self._labels, type(error).__name__).inc()
            reasons = {Refused: "Refused", TaskLostError: "WorkerLost"}
            metrics.dead_letters.labels(reasons.get(type(error), "TaskFailed")).inc()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def revoked(self) -> bool:
        """Whether the task is not to be run: somebody revoked it, or it expired."""
        before = self._already_revoked
        revoked = bool(super().revoked())
        if revoked and not before:
            self._context_of_worker.metrics.revoked.labels(*self._labels).inc()
        return revoked

    def acknowledge(self) -> None:
        """The task is done with."""
        super().acknowledge()
        self._context_of_worker.held.discard(self)

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or refuse it."""
        if not self.acknowledged:
            context = self._context_of_worker
            context.metrics.rejected.labels(*self._labels).inc()
            if not requeue and context.worker.broker.type is not BrokerType.VALKEY:
                context.metrics.dead_letters.labels("Rejected").inc()  # our own transport counts where it writes it
        super().reject(requeue=requeue)
        self._context_of_worker.held.discard(self)
