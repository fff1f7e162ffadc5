"""Celery's message envelope, protocol 2 in its smallest form, put together from bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

_NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


def task_id(topic: str, message_id: str) -> str:
    """``uuid5(NAMESPACE_URL, "<topic>|<message id>")``: a redelivered message becomes the same task."""
    digest = bytearray(hashlib.sha1(_NAMESPACE_URL + f"{topic}|{message_id}".encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def envelopes(task: str, queue: str) -> Callable[[str, bytes, dict[str, Any]], bytes]:
    """A function that makes the envelope of (task id, JSON payload, extra headers) for *task* on *queue*.

    The payload is the task's only argument. The body is plain JSON text (no `body_encoding`), which kombu takes as it
    is; the anonymous exchange with the queue's name makes kombu give a failed task back to the same list.
    """
    before_id = (
        b',"content-type":"application/json","content-encoding":"utf-8","headers":{"lang":"py","task":'
        + orjson.dumps(task)
        + b',"argsrepr":"...","kwargsrepr":"{}","origin":"headrace","retries":0,"parent_id":null,"id":"'
    )
    after_id = (
        b'},"properties":{"delivery_mode":2,"priority":0,"delivery_info":{"exchange":"","routing_key":'
        + orjson.dumps(queue)
        + b'},"correlation_id":"'
    )

    def envelope(identity: str, payload: bytes, headers: dict[str, Any]) -> bytes:
        name = identity.encode()
        body = orjson.dumps(f"[[{payload.decode()}],{{}},{{}}]")
        extra = orjson.dumps(headers)
        # extra is an object of its own: without its opening brace it continues the headers
        return b"".join(
            (
                b'{"body":',
                body,
                before_id,
                name,
                b'","root_id":"',
                name,
                b'",',
                extra[1:-1],
                after_id,
                name,
                b'","delivery_tag":"',
                name,
                b'"}}',
            )
        )

    return envelope
