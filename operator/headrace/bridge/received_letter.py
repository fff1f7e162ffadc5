"""The letter that a received message becomes when Valkey cannot take it."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from typing import Any

import orjson

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.retry_letters import RetryLetters
from headrace.bridge.batch import Item
from headrace.bridge.headers import Headers
from headrace.bridge.message import ERROR_LENGTH
from headrace.bridge.pulsar_library import Message, MessageId, properties_of
from headrace.bridge.raw_entry import RawEntry
from headrace.bridge.resting_letter import LARGEST_RETRY_BYTES, RestingLetters
from headrace.bridge.retried import Retried, origin
from headrace.process.letter_properties import (
    ATTEMPTS,
    ERROR,
    KEY_FORM,
    METADATA,
    PUBLISH_TIME,
    REASON,
    SOURCE,
    UNKNOWN,
    is_ours,
    kept,
)


class Letters:
    """Makes the outbox records of one bridge's letters."""

    def __init__(self, bridge: PulsarBridge, headers: Headers) -> None:
        """The methods raise ``HeaderUnknownError``."""
        assert bridge.spec.source.pulsar is not None
        self._headers = headers
        self._source = bridge.identity
        self._subscription = bridge.spec.source.pulsar.subscription
        self._retry = bridge.spec.retry
        self._resting = RestingLetters(bridge)

    def dead(self, message: Message, identity: MessageId, reason: str, error: str) -> Item:
        """The dead letter of *message*; nothing of one that stays where it is."""
        if self._resting.stays(message, properties_of(message)):
            return Item(passed=True)
        letter = self._letter(message, identity, reason, error)
        return Item(dead_letter=orjson.dumps({"type": "DeadLetter", **letter}), reason=reason)

    def refused(self, message: Message, identity: MessageId, reason: str, error: str) -> Item:
        """The letter of *message*, which may succeed later: for another attempt, or dead after the last one."""
        attempt = _attempt(message)
        if self._resting.stays(message, properties_of(message)):
            return Item(passed=True)
        if self._retry is None or attempt >= self._retry.max_attempts or len(message.data()) > LARGEST_RETRY_BYTES:
            return self.dead(message, identity, reason, error)
        letter = self._letter(message, identity, reason, error)
        delay = round(_wait_seconds(self._retry, attempt) * 1000)
        letter["properties"] |= {
            "RECONSUMETIMES": str(attempt),
            "DELAY_TIME": str(delay),
            REASON: reason,
            ERROR: error[:ERROR_LENGTH],
            ATTEMPTS: str(attempt),
        }
        due = round(time.time() * 1000) + delay
        record = {"type": "RetryLetter", "deliverAtMillis": due, **letter}
        return Item(dead_letter=orjson.dumps(record), reason=reason, retried=True)

    def _letter(self, message: Message, identity: MessageId, reason: str, error: str) -> dict[str, Any]:
        """With the properties of Java's consumers (``reconsumeLater``), so that these can read it too."""
        topic, name = origin(message, identity)
        header = self._headers.of(message)
        own = kept(properties_of(message), replayed=is_ours(message.producer_name()))
        marks = {
            "REAL_TOPIC": topic,
            "REAL_SUBSCRIPTION": self._subscription,
            "ORIGIN_MESSAGE_ID": name,
            "ORIGIN_MESSAGE_IDY_TIME": name,  # the name that Java's clients gave it by mistake, and still read
            SOURCE: self._source,
            PUBLISH_TIME: str(message.publish_timestamp()),
            **({KEY_FORM: UNKNOWN} if header.key_is_bytes is None else {}),
        }
        if isinstance(message, Retried):
            marks |= message.unknown
        elif isinstance(message, RawEntry) or _is_unreadable(message):
            marks[METADATA] = self._headers.metadata_of(message)
        return {
            "payloadBase64": base64.b64encode(message.data()).decode(),
            "key": _readable(message.partition_key) or None,
            **({"header": record} if (record := header.to_record()) else {}),
            "properties": own | marks,
            "eventTimeMillis": message.event_timestamp() or None,
            "reason": reason,
            "error": error[:ERROR_LENGTH],
            "attempts": _attempt(message),
        }


def _attempt(message: Message) -> int:
    """Which attempt this is; the first is 1."""
    return message.attempt if isinstance(message, Retried) else 1


def _wait_seconds(retry: RetryLetters, attempt: int) -> float:
    longest = retry.backoff.longest_seconds(attempt)
    return random.uniform(longest / 2, longest) if retry.backoff.jitter else longest


def _is_unreadable(message: Message) -> bool:
    """Whether the client cannot give out the key or the properties of *message*, as they are not UTF-8."""
    try:
        message.partition_key()
        message.properties()
    except UnicodeDecodeError:
        return True
    return False


def _readable(get: Callable[[], Any]) -> Any:
    """What *get* returns; None when it is not UTF-8, which the client cannot give out."""
    try:
        return get()
    except UnicodeDecodeError:
        return None
