"""What surrounds each run of a task: retries, results to the outbox, dead letters."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import celery
from celery.exceptions import Ignore, Reject, Retry
from kombu.exceptions import EncodeError, OperationalError

from headrace.api.celery_broker import BrokerType
from headrace.api.policy import Retry as RetryPolicy
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.app import BUILT_IN
from headrace.celery.arguments import arguments_in
from headrace.celery.ledger import Ledger
from headrace.celery.transport.message import body_of, payload_of
from headrace.process import letters
from headrace.process.exact_json import said
from headrace.process.retry import wait_seconds
from headrace.process.stop import Backoff
from headrace.tasks import Refused

_log = logging.getLogger(__name__)


class TaskLostError(Exception):
    """The task took its worker down each time it ran."""


class TaskFailedError(Exception):
    """A failure that Celery's parent process must not see as it is."""


class Execution:
    """The rules of one ValkeyWorker, applied in the process that runs the task."""

    def __init__(self, worker: ValkeyWorker, ledger: Ledger) -> None:
        self._ledger = ledger
        self._source = worker.identity
        self._retry = worker.spec.retry
        self._max_attempts = (worker.spec.retry or RetryPolicy()).max_attempts
        self._outbox = worker.spec.outbox
        self._outbox_tasks = frozenset(worker.spec.outbox.tasks if worker.spec.outbox else ())
        self._dead_letters = worker.spec.dead_letter.key if worker.spec.dead_letter else None
        self._transport_keeps_rejected = worker.broker.type is BrokerType.VALKEY  # the others drop it

    def install(self, app: celery.Celery) -> None:
        """Surround every task of the app that is not Celery's own."""
        for name, task in app.tasks.items():
            if name.startswith(BUILT_IN):
                continue
            task.acks_late = True
            task.acks_on_failure = True
            task.acks_on_timeout = False
            task.acks_on_failure_or_timeout = True
            task.reject_on_worker_lost = True
            task.ignore_result = app.conf.task_ignore_result or task.ignore_result
            # outcomes that are said already, in one line: no traceback of them
            task.throws = (*task.throws, Refused, TaskLostError)
            task.Request = "headrace.celery.request:Request"
            task.run = self._surround(task, task.run)

    def letter_target(self, task_name: str) -> str | None:
        """The list that takes the dead letters of a task; None when they are only logged and counted."""
        if self._outbox and task_name in self._outbox_tasks:
            return self._outbox.key
        return self._dead_letters

    def any_letter_target(self) -> str | None:
        """The list for messages whose task is unknown."""
        return self._dead_letters or (self._outbox.key if self._outbox else None)

    def _surround(self, task: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def surrounded(*args: Any, **kwargs: Any) -> Any:
            request = task.request
            if request.called_directly or request.is_eager:
                return run(*args, **kwargs)
            return self._run(task, run, args, kwargs)

        return surrounded

    def _run(self, task: Any, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        request = task.request
        attempt = request.retries + 1 + self._lost_before(task, args, kwargs)
        try:
            value = run(*args, **kwargs)
        except Reject as reject:
            if not reject.requeue and isinstance(reject.reason, OperationalError | OSError):
                # the task's own retry() could not be published: Celery would drop the task here
                raise Reject(reject.reason, requeue=True) from reject
            if not reject.requeue and not self._transport_keeps_rejected:
                self._give_up(task, args, kwargs, "Rejected", said(reject.reason), attempt)
            raise
        except (Ignore, Retry):
            raise
        except Refused as refused:
            self._give_up(task, args, kwargs, "Refused", said(refused.reason), attempt)
            raise
        except Exception as error:
            if self._retry is not None and attempt < self._max_attempts:
                self._try_again(task, error, wait_seconds(self._retry, attempt))
            self._give_up(task, args, kwargs, "TaskFailed", f"{type(error).__name__}: {said(error)}", attempt)
            if isinstance(error, MemoryError):
                raise TaskFailedError(str(error)) from error  # Celery's parent would stop on a MemoryError
            raise
        if task.name in self._outbox_tasks:
            self._publish(task, args, kwargs, value, attempt)
        return value

    def _lost_before(self, task: Any, args: Any, kwargs: Any) -> int:
        """How often the task was started in vain before, as far as it was handed out again."""
        request = task.request
        if not (request.delivery_info or {}).get("redelivered"):
            return 0
        times = self._ledger.started_again(request.id)
        if times is None:
            _log.info("%s[%s] is done already; not run again", task.name, request.id)
            raise Ignore
        if request.retries + 1 + times > self._max_attempts:
            attempts = request.retries + times
            error = f"the task took its worker down or ran out of time, {attempts} times."
            self._give_up(task, args, kwargs, "WorkerLost", error, attempts)
            raise TaskLostError(error)
        return times

    def _try_again(self, task: Any, error: Exception, countdown: float) -> None:
        """Publish the next attempt, which raises ``Retry``; comes back when no message can be made of it."""
        backoff = Backoff()
        options = self._noting(task.request)
        while True:
            try:
                task.retry(exc=error, countdown=countdown, max_retries=self._max_attempts, **options)
            except Reject as reject:
                if isinstance(reject.reason, TypeError | ValueError | EncodeError):
                    # arguments that do not fit the task, or that became what cannot be written down: for ever
                    _log.warning("the retry of %s cannot be published: %s", task.name, said(reject.reason))
                    return
                # the new message could not be published; acknowledging the old one now would lose the task
                _log.warning("cannot publish the retry of %s: %s; waiting", task.name, reject.reason)
                time.sleep(backoff.next_seconds())

    def _publish(self, task: Any, args: Any, kwargs: Any, value: Any, attempt: int) -> None:
        request = task.request
        try:
            record = letters.result(value, _headers(request))
        except (TypeError, ValueError) as error:
            text = f"the return value is not JSON: {error}."
            self._give_up(task, args, kwargs, "TaskFailed", text, attempt)
            raise TaskFailedError(text) from error
        assert self._outbox is not None
        self._ledger.publish(request.id, self._outbox.key, record, _tag(request))

    def _give_up(self, task: Any, args: Any, kwargs: Any, reason: str, error: str, attempts: int) -> None:
        request, target = task.request, self.letter_target(task.name)
        _log.warning("%s[%s] failed for good: %s: %s", task.name, request.id, reason, error)
        if target is None:
            return
        headers = _headers(request)
        payload, form = self._payload(task, args, kwargs, headers)
        record = letters.dead_letter(
            reason=reason,
            error=error,
            attempts=attempts,
            source=self._source,
            headers=headers,
            payload=payload,
            form=form,
        )
        self._ledger.publish(request.id, target, record, _tag(request))

    def _payload(self, task: Any, args: Any, kwargs: Any, headers: dict[str, Any]) -> tuple[bytes, str]:
        """What a dead letter holds, and its form: the arguments as they came where that can be found out, else as they
        are now."""
        found = self._arguments(task.request)
        if found is None:
            return letters.task_payload(task.name, task.request.id, args, kwargs, headers)
        return letters.call_payload(task.name, task.request.id, *found, headers)

    def _arguments(self, request: Any) -> tuple[list[bytes], dict[str, bytes]] | None:
        """The JSON texts of the arguments in the task's message."""
        message = self._ledger.message(_tag(request))
        try:
            return arguments_in(body_of(payload_of(message))) if message else None
        except ValueError:
            return None

    def _noting(self, request: Any) -> dict[str, Any]:
        """Options of a retry: the payload of a Pulsar message as it came, unless Celery writes it so anyway."""
        headers = _headers(request)
        if not letters.origin_of(headers) or letters.original(headers) is not None:
            return {}
        args, kwargs = self._arguments(request) or ((), {})
        if len(args) != 1 or kwargs or args[0] == _as_celery_writes(request.args):
            return {}
        return {"headers": letters.noting(headers, args[0])}


def _as_celery_writes(args: Any) -> bytes | None:
    try:
        return json.dumps(args[0]).encode()
    except (IndexError, TypeError, ValueError, RecursionError):
        return None


def _tag(request: Any) -> object:
    """The delivery tag of the task's message."""
    return (request.properties or {}).get("delivery_tag")


def _headers(request: Any) -> dict[str, Any]:
    """The message's headers that are not Celery's own."""
    return dict(request.headers or {})
