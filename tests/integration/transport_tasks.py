"""A Celery app for the tests of the transport, as somebody writes it outside Kubernetes."""

import json
import os
import time

import celery
import valkey

import headrace.celery  # noqa: F401  (this line makes Celery know valkey://)

app = celery.Celery("transport", broker=os.environ.get("TRANSPORT_BROKER", "memory://"))
app.conf.update(
    broker_transport_options=json.loads(os.environ.get("TRANSPORT_OPTIONS", "{}")),
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_prefetch_multiplier=int(os.environ.get("TRANSPORT_MULTIPLIER", "4")),
)


def note(word: str) -> None:
    """Say in the tests' Valkey that something happened, however long it is away."""
    while True:
        try:
            with valkey.Valkey.from_url(os.environ["TRANSPORT_NOTES"]) as client:
                client.rpush("notes", word)
                return
        except (valkey.ValkeyError, OSError):
            time.sleep(0.05)


@app.task(name="transport.work")  # type: ignore[untyped-decorator]
def work(name: str, seconds: float = 0.0) -> None:
    """Begin, take a while, end."""
    note(f"begin {name}")
    time.sleep(seconds)
    note(f"end {name}")


@app.task(name="transport.die")  # type: ignore[untyped-decorator]
def die(name: str) -> None:
    """Take the pool's process down."""
    note(f"begin {name}")
    os._exit(9)


@app.task(name="transport.refuse", bind=True)  # type: ignore[untyped-decorator]
def refuse(self: celery.Task, name: str, times: int) -> None:
    """Go back to the queue so many times, then be refused for good."""
    given = (self.request.headers or {}).get("x-delivery-count", 0)
    note(f"{name} {given} {self.request.delivery_info['redelivered']}")
    raise celery.exceptions.Reject("not now", requeue=given < times)
