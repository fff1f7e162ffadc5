"""What becomes of a message that nobody may handle: a dead letter."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from headrace.celery.transport.keys import Push
from headrace.process.letter_properties import CELERY_MESSAGE, FORM


@dataclass(frozen=True)
class Refusal:
    """A message that is not handed out any more."""

    queue: str
    raw: bytes
    """The message as it was in the list."""
    reason: str
    """InvalidRecord, DeliveryLimit or Rejected."""
    error: str
    """A sentence for people."""
    attempts: int


Writer = Callable[[Refusal], Push | None]
"""Makes the dead letter of a message; None when it is to be dropped."""


def record_of(refusal: Refusal, at_millis: int) -> dict[str, Any]:
    """The record in the dead-letter list; a PulsarBridge with ``format: Outbox`` reads it."""
    try:
        body = {"payload": refusal.raw.decode()}
    except UnicodeDecodeError:
        body = {"payloadBase64": base64.b64encode(refusal.raw).decode()}
    return {
        "type": "DeadLetter",
        **body,
        "key": None,
        "properties": {FORM: CELERY_MESSAGE},
        "eventTimeMillis": at_millis,
        "queue": refusal.queue,
        "reason": refusal.reason,
        "error": refusal.error,
        "attempts": refusal.attempts,
    }


def writer(key: str | None) -> Writer:
    """Writes to the list *key*; to ``<queue>-dlq`` when None; nowhere when it is empty."""

    def write(refusal: Refusal) -> Push | None:
        if key == "":
            return None
        target = key or f"{refusal.queue}-dlq"
        return Push(target, orjson.dumps(record_of(refusal, time.time_ns() // 1_000_000)))

    return write


writers: dict[str, Writer] = {}
"""Those that a program brings, by the ``key_prefix`` of its workers."""
