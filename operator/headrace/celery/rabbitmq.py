"""RabbitMQ holds a task back that is not due: Celery's way of asking for it, which here takes any countdown."""

from __future__ import annotations

from typing import Any

from celery.app import base
from kombu.transport.native_delayed_delivery import calculate_routing_key


def _routing_key(countdown: int, routing_key: str) -> Any:
    return calculate_routing_key(max(countdown, 1), routing_key)


def install() -> None:
    """Make a countdown below a second one second.

    Celery 5.7 cuts the fraction off and then refuses what is left, 0: such a task could not be sent or retried.
    """
    base.calculate_routing_key = _routing_key
