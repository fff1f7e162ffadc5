"""What messages from Pulsar become in Valkey. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import methodcaller
from typing import Any

import orjson

from headrace.api.bridge_sink import ValkeySink
from headrace.api.policy import PROPERTIES
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.batch import Batch, Entry, Item
from headrace.bridge.envelope import envelopes, task_ids
from headrace.bridge.headers import Headers
from headrace.bridge.message import PoisonError
from headrace.bridge.message_envelope import Seal, seal
from headrace.bridge.pulsar_library import Message, MessageId
from headrace.bridge.received_letter import Letters
from headrace.bridge.resting_letter import RestingLetters
from headrace.bridge.retried import origin
from headrace.bridge.selector import Select, needs_json, parse_json, selector
from headrace.bridge.target import row, target_of
from headrace.process.exact_json import utf8
from headrace.process.letter_properties import JOURNEY, REASON, REPLAY, REPLAYS, is_ours, own
from headrace.process.trace import TRACE

LONGEST_KEY = 128
MOST_FIELDS = 3900
"""Valkey's Lua hands at most some 8000 arguments to one command, and a field of a stream's entry is two."""
KEY_FIELD = "key"
MESSAGE_ID_FIELD = "PULSAR_MESSAGE_ID"
"""Fields of a stream's entry beside its payload and the properties."""

_NOTHING: dict[str, str] = {}

Prepare = Callable[[Sequence[Message]], Batch]

_ToEntry = Callable[[Message, MessageId, bytes, dict[str, str], dict[str, str]], bytes]
"""Makes the target's entry of a message with its id, payload, own properties, and what a replay noted on it; raises
``PoisonError``."""


def preparer(bridge: PulsarBridge, prefix: str, headers: Headers, replay: str = "") -> Prepare:
    """The function that makes Valkey's half of messages, as *bridge* says. It raises nothing but
    ``HeaderUnknownError``, as do the functions that make letters of what Valkey refuses.

    *headers*: of messages that become letters. *replay*: the id of the replay that reads them once more: they are to
    pass where they passed before.
    """
    assert bridge.spec.sink.valkey is not None
    plain = target_of(bridge.spec.sink.valkey).raw and not (bridge.spec.deduplicate or bridge.spec.cache)
    prepare_one = _preparer_of_one(bridge, prefix, headers, replay)
    payload, identity, topic = methodcaller("data"), methodcaller("message_id"), methodcaller("topic_name")

    def prepare(messages: Sequence[Message]) -> Batch:
        ids = list(map(identity, messages))
        entries: list[Entry] = list(map(payload, messages)) if plain else []
        if not plain or not all(entries):
            entries = list(map(prepare_one, messages, ids))
        return Batch(list(map(topic, messages)), ids, entries)

    return prepare


def _preparer_of_one(
    bridge: PulsarBridge, prefix: str, headers: Headers, replay: str
) -> Callable[[Message, MessageId], Entry]:
    spec = bridge.spec
    assert spec.sink.valkey is not None
    celery = spec.sink.valkey.celery
    deduplicate = selector(spec.deduplicate.key, "deduplicate") if spec.deduplicate else None
    cache = selector(spec.cache.key, "cache") if spec.cache else None
    cache_prefix = spec.cache.prefix if spec.cache else ""
    expressions = [part.key for part in (spec.deduplicate, spec.cache) if part]
    wants_json = celery is not None or any(needs_json(expression) for expression in expressions)
    to_entry = _entry_maker(spec.sink.valkey, replay)
    letters, resting = Letters(bridge, headers), RestingLetters(bridge)

    def prepare_one(message: Message, identity: MessageId) -> Entry:
        payload = message.data()
        try:
            value = parse_json(payload) if wants_json else None
            properties, journey = _said(message)
            if REASON in properties and resting.goes_no_further(message, properties):
                return Item(passed=True)
            entry = to_entry(message, identity, payload, properties, journey)
            if not expressions:
                return entry
            item = Item(entry, refused=partial(letters.refused, message, identity))
            if deduplicate:
                item.deduplication_key = f"{prefix}:seen:{_short(_select(deduplicate, value, message, properties))}"
                if run := replay or journey.get(REPLAY):
                    # it is to pass although it was seen before, once in its replay
                    item.deduplication_key += f"@{_short(run)}"
            if cache:
                item.cache_key = cache_prefix + _select(cache, value, message, properties)
                item.cache_value = payload
            return item
        except PoisonError as poison:
            return letters.dead(message, identity, poison.reason, str(poison))
        except UnicodeDecodeError:
            return letters.dead(message, identity, "InvalidRecord", "the message's key or a property is not UTF-8.")
        except Exception as error:  # P7: whatever one message makes the rules raise, the others pass
            text = utf8(f"the bridge cannot make an entry of it: {type(error).__name__}: {error}")
            return letters.dead(message, identity, "InvalidRecord", text)

    return prepare_one


def _said(message: Message) -> tuple[dict[str, str], dict[str, str]]:
    """What the producer of *message* said in its properties, and what a replay noted there."""
    properties = message.properties()
    if not properties or JOURNEY.isdisjoint(properties) or not is_ours(message.producer_name()):
        return properties, _NOTHING
    return own(properties), {name: properties[name] for name in JOURNEY if name in properties}


def _select(select: Select, value: Any, message: Message, properties: dict[str, str]) -> str:
    return select(value, message.partition_key() or None, properties)


def _short(key: str) -> str:
    """Keys as they are, for people; long ones by their hash, for memory."""
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _entry_maker(sink: ValkeySink, replay: str) -> _ToEntry:
    if sink.celery is not None:
        return _task_entry(sink.celery.task, sink.celery.queue, replay)
    if sink.stream is not None:
        return _fields_entry(sink.stream.payload_field)
    if sink.hash is not None:
        return _field_entry(sink.hash.field)
    surrounded = sink.pub_sub or sink.list
    assert surrounded is not None
    sealed = seal(surrounded.envelope)
    return _payload_entry if sealed is None else _sealed_entry(sealed)


def _payload_entry(
    _: Message, __: MessageId, payload: bytes, properties: dict[str, str], journey: dict[str, str]
) -> bytes:
    if not payload:
        # a Valkey list could hold it, but the script's arguments use the empty string for "nothing"
        raise PoisonError("InvalidRecord", "the payload is empty.")
    return payload


def _sealed_entry(sealed: Seal) -> _ToEntry:
    def entry(message: Message, identity: MessageId, payload: bytes, properties: dict[str, str], _: object) -> bytes:
        time = message.event_timestamp() or message.publish_timestamp()
        topic, name = origin(message, identity)
        return sealed(name, topic, time, message.partition_key() or None, properties, payload)

    return entry


@lru_cache(maxsize=4096)
def _of_topic(topic: str) -> tuple[Callable[[str], str], bytes]:
    """What the tasks of a topic have in common: how their ids are made, and where their headers begin."""
    return task_ids(topic), b'"headrace":{"topic":' + orjson.dumps(topic) + b',"messageId":"'


def _fields_entry(payload_field: str) -> _ToEntry:
    name, taken = payload_field.encode(), {payload_field, KEY_FIELD, MESSAGE_ID_FIELD}

    def entry(message: Message, identity: MessageId, payload: bytes, properties: dict[str, str], _: object) -> bytes:
        _, message_id = origin(message, identity)
        fields = [name, payload, MESSAGE_ID_FIELD.encode(), message_id.encode()]
        if key := message.partition_key():
            fields += (KEY_FIELD.encode(), key.encode())
        for property_name, value in properties.items():
            fields += (
                (PROPERTIES + property_name if property_name in taken else property_name).encode(),
                value.encode(),
            )
        if len(fields) > 2 * MOST_FIELDS:
            text = f"it would be an entry of {len(fields) // 2} fields; at most {MOST_FIELDS} can be written at once."
            raise PoisonError("TooManyFields", text)
        return row(fields)

    return entry


def _field_entry(field: str) -> _ToEntry:
    select, wants_json = selector(field, "sink.valkey.hash"), needs_json(field)

    def entry(message: Message, _: MessageId, payload: bytes, properties: dict[str, str], __: object) -> bytes:
        name = _select(select, parse_json(payload) if wants_json else None, message, properties).encode()
        return row((name, payload) if payload else (name,))

    return entry


def _task_entry(task: str, queue: str, replay: str) -> _ToEntry:
    envelope = envelopes(task, queue)
    # a task of its own, whose result the worker's window does not know
    again = f"|{replay}" if replay else ""

    def entry(
        message: Message, identity: MessageId, payload: bytes, properties: dict[str, str], journey: dict[str, str]
    ) -> bytes:
        topic, name = origin(message, identity)
        task_id, beginning = _of_topic(topic)
        noted: dict[str, Any] = {
            "key": message.partition_key() or None,
            "properties": properties,
            "eventTimeMillis": message.event_timestamp(),
            "publishTimeMillis": (published := message.publish_timestamp()),
        }
        if journey:
            noted["replays"] = journey.get(REPLAYS)
        rest = orjson.dumps(noted)
        headers = b"".join((beginning, name.encode(), b'",', rest[1:]))
        for trace in TRACE:
            if trace in properties:
                headers += b',"%s":%s' % (trace.encode(), orjson.dumps(properties[trace]))
        return envelope(task_id(f"{name}|{published}{again}"), payload, headers)

    return entry
