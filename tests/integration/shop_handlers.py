"""Handlers for the tests of the worker's other modes."""

import asyncio
import os
import time
from typing import Any

import valkey

from headrace.tasks import Message, Refused


def note(name: str) -> int:
    """Count in the tests' Valkey how often something was done."""
    with valkey.Valkey.from_url(os.environ["SHOP_VALKEY"]) as client:
        return int(client.incr(f"note:{name}"))


def price(message: Message) -> Any:
    """Do as the order says."""
    order = message.payload
    runs = note(f"{order['id']}:runs")
    if order.get("refuse"):
        raise Refused(order["refuse"])
    if runs <= int(order.get("fail", 0)):
        raise ValueError("no luck")
    if order.get("die"):
        os._exit(9)
    if order.get("odd"):
        return {"not json": object()}
    time.sleep(float(order.get("seconds", 0)))
    return {"id": order["id"], "attempt": message.attempt, "key": message.key, "headers": dict(message.headers)}


async def price_async(message: Message) -> Any:
    """The same, waiting as coroutines do."""
    order = message.payload
    if order.get("fail") or order.get("refuse"):
        return await asyncio.to_thread(price, message)
    await asyncio.sleep(float(order.get("seconds", 0)))
    return {"id": order["id"], "attempt": message.attempt}


def size(message: Message) -> int:
    """Takes bytes."""
    assert isinstance(message.payload, bytes)
    return len(message.payload)


def two(first: Message, second: Message) -> None:
    """No handler: it wants two arguments."""


def attempt(message: Message) -> Any:
    """Says only which order it was, and for which time."""
    return {"id": message.payload["id"], "attempt": message.attempt}
