"""The Celery app of the crash test: quick tasks, slow ones, ones that wait for their time, ones that fail at first."""

import time
from typing import Any

import celery

SLOW_SECONDS = 1.0

app = celery.Celery("crash", broker="memory://")


@app.task(name="crash.work", bind=True)  # type: ignore[untyped-decorator]
def work(self: Any, message: dict[str, Any]) -> dict[str, Any]:
    """Return the message, after what it asks for."""
    if message.get("slow"):
        time.sleep(SLOW_SECONDS)
    if message.get("fails") and not self.request.retries:
        raise ValueError("not at the first attempt")
    return message
