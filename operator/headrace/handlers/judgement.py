"""What becomes of a message after an attempt. Pure but for the jitter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from headrace.api.policy import Retry
from headrace.api.valkey_worker import ValkeyWorker
from headrace.handlers.reading import whole
from headrace.handlers.reservations import Delivery, Settling, Verdict
from headrace.process import letters
from headrace.process.exact_json import readable, said
from headrace.process.letter_properties import STREAM_ENTRY
from headrace.process.retry import wait_seconds
from headrace.tasks import Message, Refused


class Fate(Enum):
    """How an attempt ended."""

    SUCCEEDED = auto()
    RETRIED = auto()
    BURIED = auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The end of one attempt."""

    verdict: Verdict
    fate: Fate
    exception: str = ""
    reason: str = ""
    error: str = ""


class Judge:
    """The rules of one ValkeyWorker."""

    def __init__(self, worker: ValkeyWorker) -> None:
        spec = worker.spec
        self._source = worker.identity
        self._retry = spec.retry
        self._max_attempts = (spec.retry or Retry()).max_attempts
        targets = [spec.outbox.key if spec.outbox else None, spec.dead_letter.key if spec.dead_letter else None]
        self.lists: tuple[str, ...] = tuple(key for key in targets if key is not None)
        """Where records may go: results to the first when there is an outbox, dead letters to the last."""
        self._results = 1 if spec.outbox else 0
        self._letters = len(self.lists)

    def lost(self, delivery: Delivery, message: Message | None) -> Judgement | None:
        """The end of a message that was started in vain too often; None when it may start."""
        if delivery.attempt <= self._max_attempts:
            return None
        times = delivery.attempt - 1
        return self._bury(delivery, message, "WorkerLost", f"its worker went away {times} times while it ran.", times)

    def unreadable(self, delivery: Delivery, error: Exception) -> Judgement:
        """The end of what is no message."""
        return self._bury(delivery, None, "InvalidRecord", str(error), delivery.attempt)

    def succeeded(self, delivery: Delivery, message: Message, value: Any) -> Judgement:
        """The handler returned *value*. None gives no result."""
        if value is None or not self._results:
            return Judgement(Verdict(delivery.id, Settling.DONE), Fate.SUCCEEDED)
        try:
            record = orjson.dumps(letters.result(value, _headers(message)))
        except (TypeError, ValueError) as error:
            text = f"the return value is not JSON: {error}."
            return self._bury(delivery, message, "HandlerFailed", text, delivery.attempt, type(error).__name__)
        return Judgement(Verdict(delivery.id, Settling.DONE, 0, self._results, record), Fate.SUCCEEDED)

    def failed(self, delivery: Delivery, message: Message, error: BaseException) -> Judgement:
        """The handler raised *error*."""
        name, text = type(error).__name__, said(error)
        if isinstance(error, Refused):
            return self._bury(delivery, message, "Refused", text, delivery.attempt, name)
        if self._retry is not None and delivery.attempt < self._max_attempts:
            wait = int(wait_seconds(self._retry, delivery.attempt) * 1000)
            return Judgement(Verdict(delivery.id, Settling.RETRY, wait), Fate.RETRIED, name, error=f"{name}: {text}")
        return self._bury(delivery, message, "HandlerFailed", f"{name}: {text}", delivery.attempt, name)

    def _bury(
        self, delivery: Delivery, message: Message | None, reason: str, error: str, attempts: int, exception: str = ""
    ) -> Judgement:
        record = b""
        if self._letters:
            payload, raw = _contents(delivery, message)
            letter = letters.dead_letter(
                reason=reason,
                error=error,
                attempts=attempts,
                source=self._source,
                headers=_headers(message),
                payload=payload,
                raw=raw,
                form=STREAM_ENTRY if message is None and not isinstance(delivery.payload, bytes) else "",
            )
            record = orjson.dumps(letter)
        verdict = Verdict(delivery.id, Settling.DONE, 0, self._letters, record)
        return Judgement(verdict, Fate.BURIED, exception or reason, reason, error)


def _contents(delivery: Delivery, message: Message | None) -> tuple[bytes | None, bytes | None]:
    """What a dead letter holds, as it came: JSON text, or bytes that are none."""
    if message is None:
        return None, whole(delivery)
    if isinstance(message.payload, bytes):
        return None, message.payload
    return message.raw or readable(message.payload), None


def _headers(message: Message | None) -> dict[str, Any]:
    """Headers as the records know them."""
    return {"headrace": {"properties": dict(message.headers), "eventTimeMillis": 0}} if message else {}
