"""Handlers of the examples: plain functions that take one message."""

import asyncio
import logging
from typing import Any

from headrace.tasks import Message, Refused

log = logging.getLogger(__name__)

PRICES_IN_CENTS = {"cup": 850, "pot": 3900, "tea": 1250}


def on_order(message: Message) -> dict[str, Any]:
    """Price an order. What it returns goes to the outbox; an exception is tried again, a refusal is not."""
    order = message.payload
    if order["article"] not in PRICES_IN_CENTS:
        raise Refused(f"no such article: {order['article']}")
    return {"order_id": order["order_id"], "cents": PRICES_IN_CENTS[order["article"]] * order["quantity"]}


async def on_reminder(message: Message) -> None:
    """Remind a customer. Many coroutines of one pod wait together."""
    await asyncio.sleep(0.1)  # stands for a call of a mail service; message.id is the key that makes it happen once
    log.info("reminded %s, due at %s", message.payload, message.headers["VALKEY_SCORE"])


def on_basket(message: Message) -> None:
    """Look at a basket that changed: one field of the hash."""
    log.info("basket %s now holds %s", message.headers["VALKEY_FIELD"], message.payload)


def on_news(message: Message) -> None:
    """Hear what a channel says."""
    log.info("%s: %s", message.key, message.payload)
