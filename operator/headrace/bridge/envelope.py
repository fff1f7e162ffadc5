"""Celery's message envelope, protocol 2 in its smallest form, put together from bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

_NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""RFC 4122's two bits, set in a hexadecimal digit."""

_ESCAPES = tuple((byte, orjson.dumps(byte.decode())[1:-1]) for byte in (b"\\", b'"', b"\n", b"\r", b"\t"))
"""Of what a JSON string must escape nothing else stands in JSON text."""


def task_ids(topic: str) -> Callable[[str], str]:
    """A function that gives ``uuid5(NAMESPACE_URL, "<topic>|<message>")`` of what names a message: its id and the time
    of publishing, for a topic that was made anew gives ids a second time. A redelivered message becomes the same task.
    """
    seed = hashlib.sha1(_NAMESPACE_URL + f"{topic}|".encode(), usedforsecurity=False)

    def task_id(message: str) -> str:
        digest = seed.copy()
        digest.update(message.encode())
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"

    return task_id


def _quoted(text: bytes) -> bytes:
    """JSON text as it stands inside a JSON string."""
    for byte, escape in _ESCAPES:
        text = text.replace(byte, escape)
    return text


def envelopes(task: str, queue: str) -> Callable[[str, bytes, bytes], bytes]:
    """A function that makes the envelope of (task id, JSON payload, more headers) for *task* on *queue*. The headers
    are the members of a JSON object, without its braces, at least one.

    The payload is the task's only argument. The body is plain JSON text (no `body_encoding`), which kombu takes as it
    is; the anonymous exchange with the queue's name makes kombu give a failed task back to the same list.
    """
    before_id = (
        b'],{},{}]","content-type":"application/json","content-encoding":"utf-8","headers":{"lang":"py","task":'
        + orjson.dumps(task)
        + b',"argsrepr":"...","kwargsrepr":"{}","origin":"headrace","retries":0,"parent_id":null,"id":"'
    )
    after_headers = (
        b'},"properties":{"delivery_mode":2,"priority":0,"delivery_info":{"exchange":"","routing_key":'
        + orjson.dumps(queue)
        + b'},"correlation_id":"'
    )

    def envelope(identity: str, payload: bytes, headers: bytes) -> bytes:
        name = identity.encode()
        return b"".join(
            (
                b'{"body":"[[',
                _quoted(payload),
                before_id,
                name,
                b'","root_id":"',
                name,
                b'",',
                headers,
                after_headers,
                name,
                b'","delivery_tag":"',
                name,
                b'"}}',
            )
        )

    return envelope
