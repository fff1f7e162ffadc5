"""Where a received message first came from, and the letter that it becomes when Valkey cannot take it."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from typing import Any

import orjson

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.retry_letters import RetryLetters
from headrace.api.topic import base_topic
from headrace.bridge.batch import Item
from headrace.bridge.message import ERROR_LENGTH
from headrace.bridge.pulsar_library import Message, MessageId

LARGEST_RETRY_BYTES = 4 * 1024 * 1024
"""A larger payload would need chunks, which a Shared subscription does not put together."""

Origin = Callable[[Message, MessageId], tuple[str, str]]
"""Gives topic and message id of a received message as they first were."""


def message_id(identity: MessageId) -> str:
    """`ledger:entry:partition`, with the index for one of a batch; as Java prints it."""
    index = identity.batch_index()
    text = f"{identity.ledger_id()}:{identity.entry_id()}:{identity.partition()}"
    return f"{text}:{index}" if index >= 0 else text


def origins(retry_topic: str | None) -> Origin:
    """The function for a bridge whose retry letters wait in *retry_topic*: they say where they came from."""

    def direct(message: Message, identity: MessageId) -> tuple[str, str]:
        return base_topic(message.topic_name()), message_id(identity)

    def told(message: Message, identity: MessageId) -> tuple[str, str]:
        topic, name = direct(message, identity)
        if topic != retry_topic:
            return topic, name
        properties = _readable(message.properties) or {}
        return properties.get("REAL_TOPIC", topic), properties.get("ORIGIN_MESSAGE_ID", name)

    return direct if retry_topic is None else told


class Letters:
    """Makes the outbox records of one bridge's letters."""

    def __init__(self, bridge: PulsarBridge) -> None:
        assert bridge.spec.source.pulsar is not None
        self._source = bridge.identity
        self._subscription = bridge.spec.source.pulsar.subscription
        self._retry = bridge.spec.retry
        self._retry_topic = bridge.spec.retry_topic
        self._origin = origins(self._retry_topic)

    def dead(self, message: Message, identity: MessageId, reason: str, error: str) -> Item:
        """The dead letter of *message*."""
        letter = self._letter(message, identity, reason, error)
        return Item(dead_letter=orjson.dumps({"type": "DeadLetter", **letter}), reason=reason)

    def refused(self, message: Message, identity: MessageId, reason: str, error: str) -> Item:
        """The letter of *message*, which may succeed later: for another attempt, or dead after the last one."""
        attempt = self._attempt(message)
        if self._retry is None or attempt >= self._retry.max_attempts or len(message.data()) > LARGEST_RETRY_BYTES:
            return self.dead(message, identity, reason, error)
        letter = self._letter(message, identity, reason, error)
        delay = round(_wait_seconds(self._retry, attempt) * 1000)
        letter["properties"] |= {
            "RECONSUMETIMES": str(attempt),
            "DELAY_TIME": str(delay),
            "HEADRACE_REASON": reason,
            "HEADRACE_ERROR": error[:ERROR_LENGTH],
            "HEADRACE_ATTEMPTS": str(attempt),
        }
        due = round(time.time() * 1000) + delay
        record = {"type": "RetryLetter", "deliverAtMillis": due, **letter}
        return Item(dead_letter=orjson.dumps(record), reason=reason, retried=True)

    def _attempt(self, message: Message) -> int:
        """Which attempt this is; the first is 1."""
        if base_topic(message.topic_name()) != self._retry_topic:
            return 1
        before = (_readable(message.properties) or {}).get("RECONSUMETIMES", "")
        return int(before) + 1 if before.isascii() and before.isdigit() else 1

    def _letter(self, message: Message, identity: MessageId, reason: str, error: str) -> dict[str, Any]:
        """With the properties of Java's consumers (``reconsumeLater``), so that these can read it too."""
        topic, name = self._origin(message, identity)
        origin = {
            "REAL_TOPIC": topic,
            "REAL_SUBSCRIPTION": self._subscription,
            "ORIGIN_MESSAGE_ID": name,
            "ORIGIN_MESSAGE_IDY_TIME": name,  # the name that Java's clients gave it by mistake, and still read
            "HEADRACE_SOURCE": self._source,
        }
        return {
            "payloadBase64": base64.b64encode(message.data()).decode(),
            "key": _readable(message.partition_key) or None,
            "properties": {**(_readable(message.properties) or {}), **origin},
            "eventTimeMillis": message.event_timestamp() or None,
            "reason": reason,
            "error": error[:ERROR_LENGTH],
            "attempts": self._attempt(message),
        }


def _wait_seconds(retry: RetryLetters, attempt: int) -> float:
    longest = retry.backoff.longest_seconds(attempt)
    return random.uniform(longest / 2, longest) if retry.backoff.jitter else longest


def _readable(get: Callable[[], Any]) -> Any:
    """What *get* returns; None when it is not UTF-8, which the client cannot give out."""
    try:
        return get()
    except UnicodeDecodeError:
        return None
