# mypy: disallow-untyped-calls=False
"""kombu's Redis transport, which here survives an entry that is not a Celery message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kombu import transport as kombu_transport
from kombu.transport import redis as kombu_redis

Bury = Callable[[str, bytes, str], None]
"""Takes the queue, the entry and what is wrong with it; returns when it is safely elsewhere."""

_bury: list[Bury] = []


def problem_of(entry: bytes) -> str | None:
    """Why kombu could not take *entry* as a message; None when it can."""
    try:
        message = json.loads(entry)
        properties = message["properties"]
        delivery = properties["delivery_info"]
        needed = (message["body"], properties["delivery_tag"], delivery["exchange"], delivery["routing_key"])
    except ValueError as error:
        return str(error)
    except KeyError as error:
        return f"it has no {error.args[0]}"
    except TypeError:
        return "it does not have the shape of one"
    return None if all(isinstance(part, str) for part in needed) else "it does not have the shape of one"


class Channel(kombu_redis.Channel):
    """kombu parses an entry after it took it, and an entry that is not JSON ends the worker: it would be lost."""

    def _get_client(self) -> Any:
        parent: Any = super()._get_client()

        class Client(parent):
            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                reply = super().parse_response(connection, command_name, **options)
                if command_name != "BRPOP" or not reply:
                    return reply
                queue, entry = reply
                problem = problem_of(entry)
                if problem is None:
                    return reply
                for bury in _bury:
                    bury(queue.decode(), entry, problem)
                return None

        return Client


class Transport(kombu_redis.Transport):
    """kombu's, with our channel."""

    Channel = Channel


def install(bury: Bury) -> None:
    """Make ``redis://`` and ``rediss://`` mean this transport, and give bad entries to *bury*."""
    _bury[:] = [bury]
    for scheme in ("redis", "rediss"):
        kombu_transport.TRANSPORT_ALIASES[scheme] = "headrace.celery.transport:Transport"
