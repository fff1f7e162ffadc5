# mypy: disallow-untyped-calls=False
"""An entry of a queue's list as kombu's message. Pure."""

from __future__ import annotations

import base64
from typing import Any

from kombu.utils.json import loads

from headrace.process import exact_json

COUNT_HEADER = "x-delivery-count"
"""RabbitMQ's name: how often the message was handed out in vain before."""


class NotAMessageError(ValueError):
    """The entry is not a Celery message; says why."""


def payload_of(entry: bytes) -> dict[str, Any]:
    """*entry* as kombu's payload; raise ``NotAMessageError`` when it has not the shape of one."""
    try:
        # kombu writes what JSON has no type for as an object with this name, and only its own reader undoes that
        payload: dict[str, Any] = loads(entry.decode()) if b'"__type__"' in entry else exact_json.loads(entry)
        properties = payload["properties"]
        delivery = properties["delivery_info"]
        needed = (payload["body"], properties["delivery_tag"], delivery["exchange"], delivery["routing_key"])
    except ValueError as error:
        raise NotAMessageError(str(error)) from None
    except KeyError as error:
        raise NotAMessageError(f"it has no {error.args[0]}") from None
    except RecursionError:
        raise NotAMessageError("it is nested too deeply") from None
    except TypeError:
        raise NotAMessageError("it does not have the shape of one") from None
    for part in needed:
        if not isinstance(part, str):
            raise NotAMessageError("it does not have the shape of one")
    return payload


def body_of(payload: dict[str, Any]) -> str | bytes:
    """The body of the message whose kombu's *payload* it is; raises ``ValueError``."""
    body: str = payload["body"]
    return base64.b64decode(body) if payload["properties"].get("body_encoding") == "base64" else body


def marked(payload: dict[str, Any], tag: str, deliveries: int) -> dict[str, Any]:
    """*payload* with the delivery tag it has here and what is known of earlier deliveries."""
    properties = payload["properties"]
    properties["delivery_tag"] = tag
    headers = payload.get("headers")
    if deliveries:
        properties["delivery_info"]["redelivered"] = True
        if isinstance(headers, dict):
            headers[COUNT_HEADER] = deliveries
    elif isinstance(headers, dict) and COUNT_HEADER in headers:
        del headers[COUNT_HEADER]  # Celery copies headers into the message of a retry
    return payload
