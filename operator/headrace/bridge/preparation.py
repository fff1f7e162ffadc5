"""What a message from Pulsar becomes in Valkey. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from headrace.api.bridge_sink import Envelope, ValkeySink
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.delivery import Item, Position
from headrace.bridge.envelope import envelopes, task_id
from headrace.bridge.message import ERROR_LENGTH, PoisonError
from headrace.bridge.message_envelope import Seal, seal
from headrace.bridge.selector import Select, needs_json, parse_json, selector

LONGEST_KEY = 128


@dataclass(slots=True)
class Received:
    """A message as Pulsar gave it."""

    topic: str
    """The partition's topic."""
    position: Position
    partition: int
    payload: bytes
    key: str | None
    properties: dict[str, str]
    event_time: int
    """Milliseconds since the epoch; 0 when its producer gave none."""
    publish_time: int = 0
    """Milliseconds since the epoch, by its producer's clock; given only where an envelope wants it."""

    @property
    def message_id(self) -> str:
        """`ledger:entry:partition`, with the index for one of a batch; as Java prints it."""
        ledger, entry, index = self.position
        return f"{ledger}:{entry}:{self.partition}" + (f":{index}" if index >= 0 else "")


def wanted_envelope(sink: ValkeySink) -> Envelope:
    """What surrounds the payloads in Valkey. Celery has an envelope of its own."""
    return sink.list.envelope if sink.list else Envelope.RAW


def preparer(bridge: PulsarBridge, prefix: str) -> Callable[[Received], Item]:
    """The function that makes a Valkey item of a message, as *bridge* says. It never raises."""
    spec, identity = bridge.spec, bridge.identity
    assert spec.source.pulsar is not None
    assert spec.sink.valkey is not None
    topic = spec.source.pulsar.topic
    celery = spec.sink.valkey.celery
    deduplicate = selector(spec.deduplicate.key, "deduplicate") if spec.deduplicate else None
    cache = selector(spec.cache.key, "cache") if spec.cache else None
    cache_prefix = spec.cache.prefix if spec.cache else ""
    expressions = [part.key for part in (spec.deduplicate, spec.cache) if part]
    wants_json = celery is not None or any(needs_json(expression) for expression in expressions)
    if celery is not None:
        entry = _task_entry(topic, envelopes(celery.task, celery.queue))
    else:
        sealed = seal(wanted_envelope(spec.sink.valkey))
        entry = _payload_entry if sealed is None else _sealed_entry(topic, sealed)

    def prepare(message: Received) -> Item:
        item = Item(message.topic, message.position)
        try:
            value = parse_json(message.payload) if wants_json else None
            if deduplicate:
                item.deduplication_key = f"{prefix}:seen:{_short(_select(deduplicate, value, message))}"
            if cache:
                item.cache_key = cache_prefix + _select(cache, value, message)
                item.cache_value = message.payload
            item.entry = entry(message)
        except PoisonError as poison:
            record = _dead_letter(message, poison, topic, identity)
            return Item(message.topic, message.position, dead_letter=record, reason=poison.reason)
        return item

    return prepare


def _select(select: Select, value: Any, message: Received) -> str:
    return select(value, message.key, message.properties)


def _short(key: str) -> str:
    """Keys as they are, for people; long ones by their hash, for memory."""
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _payload_entry(message: Received) -> bytes:
    if not message.payload:
        # a Valkey list could hold it, but the script's arguments use the empty string for "nothing"
        raise PoisonError("InvalidRecord", "the payload is empty.")
    return message.payload


def _sealed_entry(topic: str, sealed: Seal) -> Callable[[Received], bytes]:
    def entry(message: Received) -> bytes:
        time = message.event_time or message.publish_time
        return sealed(message.message_id, topic, time, message.key, message.properties, message.payload)

    return entry


def _task_entry(topic: str, envelope: Callable[[str, bytes, dict[str, Any]], bytes]) -> Callable[[Received], bytes]:
    def entry(message: Received) -> bytes:
        headers: dict[str, Any] = {
            "headrace": {
                "topic": topic,
                "messageId": message.message_id,
                "key": message.key,
                "properties": message.properties,
            }
        }
        if "traceparent" in message.properties:
            headers["traceparent"] = message.properties["traceparent"]
        return envelope(task_id(topic, message.message_id), message.payload, headers)

    return entry


def _dead_letter(message: Received, poison: PoisonError, topic: str, identity: str) -> bytes:
    origin = {"REAL_TOPIC": topic, "ORIGIN_MESSAGE_ID": message.message_id, "HEADRACE_SOURCE": identity}
    return orjson.dumps(
        {
            "type": "DeadLetter",
            "payloadBase64": base64.b64encode(message.payload).decode(),
            "key": message.key,
            "properties": {**message.properties, **origin},
            "eventTimeMillis": message.event_time or None,
            "reason": poison.reason,
            "error": str(poison)[:ERROR_LENGTH],
            "attempts": 1,
        }
    )
