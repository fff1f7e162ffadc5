"""What the workers of the plays run: handlers, and a Celery app. They ask nothing of Valkey themselves."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import celery

from headrace.tasks import Message, Refused

app = celery.Celery("work", broker="redis://nowhere.invalid:1/0")


def _done(order: dict[str, Any], attempt: int) -> dict[str, Any]:
    if order.get("refuse"):
        raise Refused("as the order says")
    if attempt <= int(order.get("fail", 0)):
        raise ValueError("as the order says")
    time.sleep(float(order.get("seconds", 0)))
    return {"id": order["id"]}


def handle(message: Message) -> dict[str, Any]:
    """Do as the order says."""
    return _done(message.payload, message.attempt)


@app.task(name="work.handle", bind=True)  # type: ignore[untyped-decorator]
def task(self: Any, order: dict[str, Any]) -> dict[str, Any]:
    """The same as a task."""
    return _done(order, self.request.retries + 1)


@app.task(name="work.other", bind=True)  # type: ignore[untyped-decorator]
def other(self: Any, order: dict[str, Any]) -> dict[str, Any]:
    """The same without an outbox: its dead letters go to the list of those."""
    return _done(order, self.request.retries + 1)


app.conf.beat_schedule = {
    "often": {
        "task": "work.handle",
        "schedule": timedelta(seconds=1),
        "args": ({"id": 1000},),
        "options": {"queue": "source"},
    }
}
