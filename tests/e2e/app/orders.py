"""A Celery app whose one task does what the order says."""

import time
from typing import Any

import valkey
from celery import Celery

from headrace.tasks import Refused

VALKEY = "valkey://valkey:6379/0"

app = Celery("orders")


@app.task(name="orders.price")
def price(order: dict[str, Any]) -> dict[str, Any]:
    """Price an order; note that it ran, refuse, fail or dawdle when it says so."""
    if order.get("note"):
        valkey.Valkey.from_url(VALKEY).incr(order["note"])
    if order.get("refuse"):
        raise Refused("the order is not for sale")
    if order.get("fail"):
        raise ValueError("the order has no price")
    time.sleep(order.get("seconds", 0))
    return {"order_id": order["order_id"], "price": 42}
