# mypy: disallow-untyped-calls=False
"""Celery's consumer, with a beating heart for the probes, and nothing dropped: what it cannot run is a dead letter."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import consumer as celery_consumer
from celery.worker import state
from kombu.common import ignore_errors
from kombu.exceptions import OperationalError

from headrace.celery.arguments import arguments_in
from headrace.celery.context import context_of
from headrace.celery.returns import give_back
from headrace.process import letters
from headrace.process.letter_properties import CELERY_MESSAGE
from headrace.process.stop import Backoff

_log = logging.getLogger(__name__)


def _pause(seconds: float) -> None:
    """Wait, unless the worker is told to stop: then raise what ends it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        state.maybe_shutdown()
        time.sleep(min(left, 0.2))
    state.maybe_shutdown()


class Consumer(celery_consumer.Consumer):
    """Takes tasks from the broker."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes. The probes do not count that time."""
        context, backoff = context_of(self.app), Backoff()
        trouble = (OperationalError, *conn.connection_errors, *conn.channel_errors)
        context.tick.pause()
        try:
            while True:
                try:
                    connected = conn.ensure_connection(max_retries=0)
                    break
                except trouble as error:  # even refused credentials: a broker that starts refuses good ones
                    wait = backoff.next_seconds()
                    _log.error("cannot connect to %s: %s; trying again in %.1f s", conn.as_uri(), error, wait)
                    conn.maybe_switch_next()
                    _pause(wait)
        finally:
            context.tick()
        self.first_connection_attempt = False
        return connected

    def register_with_event_loop(self, hub: Any) -> None:
        """Let the loop of the prefork pool show that it turns."""
        super().register_with_event_loop(hub)
        hub.timer.call_repeatedly(1.0, self._turn)

    def perform_pending_operations(self) -> None:
        """Called at each turn of the loop of the other pools."""
        self._turn()
        super().perform_pending_operations()

    def on_close(self) -> None:
        """The connection is lost, or the worker stops: what does not run yet belongs to the queue again."""
        context = context_of(self.app)
        idle = [request for request in [*context.held] if not _begun(request)]
        super().on_close()
        if self.connection is not None and self.task_consumer is not None:  # it stops
            ignore_errors(self, self.task_consumer.cancel)  # or it would get them right back
            for request in idle:
                # Celery would keep them until the last running task ended.
                ignore_errors(self, partial(give_back, request.message))
        for request in idle:
            context.held.discard(request)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge or give back: in the loop, or at once when that does not turn any more.

        Under threads nothing would do it until the last task ended, and what ended in time would count as unfinished.
        """
        if self.blueprint.state == bootsteps.RUN:
            return super().call_soon_ack(p, *args, **kwargs)
        try:
            return p(*args, **kwargs)
        except Exception as error:  # whatever the broker's client raises; the task is handed out again
            _log.warning("a task is not acknowledged: %r", error)

    def _turn(self) -> None:
        context = context_of(self.app)
        context.tick()
        if context.deaf.is_set():
            context.deaf.clear()
            raise ConnectionResetError("this worker takes no tasks although some wait; connecting anew")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """No task of that name."""
        name = str(message.headers.get("task"))
        known = ", ".join(sorted(task for task in self.app.tasks if not task.startswith("celery.")))
        self._bury(message, "TaskNotFound", f"no task is named {name}; known are: {known or 'none'}.")
        super().on_unknown_task(body, message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Not a task at all."""
        self._bury(message, "InvalidRecord", "the message is not a Celery task.")
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task whose parts do not fit."""
        self._bury(message, "InvalidRecord", f"the message is not a valid Celery task: {exc}.")
        super().on_invalid_task(body, message, exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A body that cannot be read."""
        self._bury(message, "InvalidRecord", f"the body of the task cannot be read: {exc}.")
        super().on_decode_error(message, exc)

    def _bury(self, message: Any, reason: str, error: str) -> None:
        """Write the dead letter before Celery drops the message."""
        context = context_of(self.app)
        context.taken += 1
        headers = message.headers if isinstance(message.headers, dict) else {}
        name, task_id = str(headers.get("task") or ""), headers.get("id")
        context.metrics.dead_letters.labels(reason).inc()
        target = context.execution.letter_target(name) or context.execution.any_letter_target()
        if target is None:
            return
        payload, form, raw = _contents(message, name, str(task_id), headers)
        record = letters.dead_letter(
            reason=reason,
            error=error,
            attempts=1,
            source=context.worker.identity,
            headers=headers,
            payload=payload,
            raw=raw,
            form=form,
        )
        known = task_id if isinstance(task_id, str) and task_id else None
        context.ledger.publish(known, target, record, message.delivery_tag)


def _contents(message: Any, name: str, task_id: str, headers: dict[str, Any]) -> tuple[bytes | None, str, bytes | None]:
    """What a dead letter holds: the payload as JSON, its form, or bytes that nobody could read."""
    try:
        found = arguments_in(message.body)
        if found is not None:
            return *letters.call_payload(name, task_id, *found, headers), None
        args, kwargs, _ = message.decode()
        return *letters.task_payload(name, task_id, args, kwargs, headers), None
    except Exception:  # whatever the decoder does not like
        return None, CELERY_MESSAGE, _bytes(message.body)


def _begun(request: Any) -> bool:
    """Whether the pool has the task; it says a moment later that it runs."""
    return request in state.active_requests or request._apply_result is not None


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode("utf-8", "surrogateescape")
