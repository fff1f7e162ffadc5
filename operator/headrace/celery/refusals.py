"""The dead letters of messages that never became a task, or were refused by one."""

from __future__ import annotations

from typing import Any

from headrace.celery.arguments import arguments_in
from headrace.celery.context import Context
from headrace.celery.transport.keys import Push
from headrace.celery.transport.letter import Refusal, Writer
from headrace.celery.transport.message import NotAMessageError, body_of, payload_of
from headrace.process import letters
from headrace.process.letter_properties import CELERY_MESSAGE


def refusal_writer(context: Context) -> Writer:
    """Writes them to the lists that the resource names, and counts them."""
    execution, ledger = context.execution, context.ledger

    def write(refusal: Refusal) -> Push | None:
        context.metrics.dead_letters.labels(refusal.reason).inc()
        headers, payload, form, raw = _contents(refusal.raw)
        name, task_id = str(headers.get("task") or ""), headers.get("id")
        target = execution.letter_target(name) or execution.any_letter_target()
        if target is None:
            return None
        record = letters.dead_letter(
            reason=refusal.reason,
            error=refusal.error,
            attempts=refusal.attempts,
            source=context.worker.identity,
            headers=headers,
            payload=payload,
            raw=raw,
            form=form,
        )
        return ledger.push_of(task_id if isinstance(task_id, str) else None, target, record)

    return write


def _contents(entry: bytes) -> tuple[dict[str, Any], bytes | None, str, bytes | None]:
    """Headers, payload, its form and, when there is no payload to be read, the whole entry."""
    try:
        message = payload_of(entry)
        headers = message["headers"] if isinstance(message.get("headers"), dict) else {}
        found = arguments_in(body_of(message))
    except NotAMessageError:
        return {}, None, CELERY_MESSAGE, entry
    except ValueError:
        return headers, None, CELERY_MESSAGE, entry
    if found is None:
        return headers, None, CELERY_MESSAGE, entry
    name, task_id = str(headers.get("task") or ""), str(headers.get("id"))
    return headers, *letters.call_payload(name, task_id, *found, headers), None
