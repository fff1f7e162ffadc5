"""A Celery app for the tests of the worker."""

import json
import os
import signal
import time
from typing import Any

import celery
import valkey
from celery.exceptions import Reject
from celery.signals import worker_ready

from headrace.tasks import Refused

VALUES = {"big": 2**70, "nan": float("nan"), "half": "\ud800", "deep": [1.5, None, {"\udfff": -(2**64)}]}
"""What a task may return, by the order's ``value``."""

app = celery.Celery("shop", broker="redis://nowhere.invalid:1/0")


def note(name: str) -> int:
    """Count in the tests' Valkey how often something was done."""
    with valkey.Valkey.from_url(os.environ["SHOP_VALKEY"]) as client:
        return int(client.incr(f"note:{name}"))


@worker_ready.connect  # type: ignore[untyped-decorator]
def send_first_orders(**_: Any) -> None:
    """Send the orders that the worker's own process is to begin with: `[[id, task, argument], …]`."""
    for identity, task, argument in json.loads(os.environ.get("SHOP_FIRST_ORDERS", "[]")):
        app.send_task(task, (argument,), task_id=identity)


@app.task(name="shop.price", bind=True)  # type: ignore[untyped-decorator]
def price(self: Any, order: dict[str, Any]) -> Any:
    """Do as the order says."""
    note(f"{order['id']}:runs")
    if order.get("refuse"):
        raise Refused(order["refuse"])
    if order.get("reject"):
        raise Reject(order["reject"], requeue=False)
    if order.get("fail"):
        raise ValueError(order["fail"])
    if order.get("die"):
        os._exit(9)
    if "value" in order or "header" in order:
        return _value(self, order)
    if order.get("odd"):
        return {"not json": object()}
    if order.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if order.get("process"):
        return {"id": order["id"], "process": os.getpid()}
    for _ in range(int(order.get("seconds", 0) * 20)):
        time.sleep(0.05)
    return {"id": order["id"], "price": 7}


def _value(task: Any, order: dict[str, Any]) -> Any:
    """What was asked for: a value, or at the second attempt a header of the message."""
    if "value" in order:
        return VALUES[order["value"]]
    if not task.request.retries:
        raise ValueError("try again")
    return task.request.headers[order["header"]]


@app.task(name="shop.mail")  # type: ignore[untyped-decorator]
def mail(address: str, subject: str = "") -> str:
    """A task without an outbox."""
    note("mail:runs")
    if address == "nobody":
        raise LookupError("no such address")
    return f"sent to {address}"
