# mypy: disallow-untyped-calls=False
"""What workers with kombu's own transport left behind."""

from __future__ import annotations

import logging
import time
from typing import Any

from redis import exceptions

from headrace.celery.transport.link import ADOPT
from headrace.process.exact_json import dumps, loads

_log = logging.getLogger(__name__)


def adopt(channel: Any, seconds: float) -> str:
    """Give back messages that kombu's own transport holds as unacknowledged for longer than *seconds*.

    Returns why Valkey refused the last that it did not take. Raises what redis-py raises when it is away.
    """
    index, unacked = (channel.global_keyprefix + name for name in (channel.unacked_index_key, channel.unacked_key))
    adopted, problem = 0, ""
    with channel.conn_or_acquire() as client:
        run = client.execute_command
        for tag in run("ZRANGE", channel.unacked_index_key, 0, time.time() - seconds, "BYSCORE"):
            held = run("HGET", channel.unacked_key, tag)
            if held is None:
                continue
            message, exchange, routing_key = loads(held)
            message.setdefault("properties", {}).setdefault("delivery_info", {})["redelivered"] = True
            raw = dumps(message)
            step = channel._get_message_priority(message)
            for queue in channel._lookup(exchange, routing_key):
                key = channel.global_keyprefix + channel._q_for_pri(queue, step)
                try:
                    adopted += run("EVAL", ADOPT.text, 3, unacked, index, key, tag, raw)
                except exceptions.ResponseError as error:
                    problem = str(error)
    if adopted:
        _log.warning("%d messages that workers with Celery's own transport left were given back", adopted)
    return problem
