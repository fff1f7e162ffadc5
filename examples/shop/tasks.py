"""The Celery app of the examples: ordinary Celery, nothing of Headrace's but the one import."""

import logging
from typing import Any

from celery import Celery
from celery.schedules import crontab

from headrace.tasks import Refused

app = Celery("shop")
app.conf.beat_schedule = {
    "remind": {"task": "shop.tasks.remind", "schedule": crontab(hour=9, minute=0)},
}

PRICES_IN_CENTS = {"cup": 850, "pot": 3900, "tea": 1250}


@app.task(name="shop.tasks.price")
def price(order: dict[str, Any]) -> dict[str, Any]:
    """Price an order. The return value is the result event; an order that cannot be priced is refused."""
    if order["article"] not in PRICES_IN_CENTS:
        raise Refused(f"no such article: {order['article']}")
    cents = PRICES_IN_CENTS[order["article"]] * order["quantity"]
    return {"order_id": order["order_id"], "cents": cents}


@app.task(name="shop.tasks.remind")
def remind() -> None:
    """Each morning at nine, where the worker sends periodic tasks (`celery.beat`)."""
    logging.getLogger(__name__).info("orders that nobody paid for are looked up")
