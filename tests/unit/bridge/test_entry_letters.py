"""Letters of entries that no message could be made of: a replay makes the message, or leaves the letter where it is."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay
from headrace.api.resource import parse
from headrace.bridge.entry import decoded, from_readable, published, readable
from headrace.bridge.judgement import Fate, Judge, Judgement
from headrace.bridge.letter import Letter
from headrace.bridge.message import Message, as_entry
from headrace.bridge.record import converter
from headrace.bridge.routing import EntryFormat, Routing, Target
from tests.unit.bridge.test_records import row

SINK = "persistent://shop/orders/events"
REPLAY = Replay.model_validate({"id": "a", "from": "DeadLetter"})


def bridge(source: dict[str, Any], **sink: Any) -> PulsarBridge:
    spec = {
        "source": {"valkey": source},
        "sink": {"pulsar": {"topic": SINK, **sink}},
        "valkey": {"url": "valkey://v"},
        "pulsar": {"serviceUrl": "pulsar://p", "adminUrl": "http://p"},
    }
    resource = {"apiVersion": "headrace.dev/v1alpha1", "kind": "PulsarBridge", "spec": spec}
    return parse(PulsarBridge, {**resource, "metadata": {"name": "b", "namespace": "n"}})


STREAM: dict[str, Any] = {"stream": {"key": "s", "payloadField": "body"}}
LIST: dict[str, Any] = {"list": {"key": "l"}}
OUTBOX: dict[str, Any] = {"list": {"key": "l", "format": "Outbox"}}
CHANNELS: dict[str, Any] = {"pubSub": {"channels": ["c"]}}


def routing(format_: EntryFormat, **changes: Any) -> Routing:
    target = Target(SINK, 0)
    return Routing(target, target, format_, changes.pop("key", None), "PulsarBridge/n/b", **changes)


def lying(message: Message) -> Letter:
    """A letter as it is found again."""
    assert message.reason is not None
    return Letter(
        "7:8:-1", message.payload, message.key, dict(message.properties or {}), message.event_time or 0, 5_000
    )


def judged(letter: Letter, of: PulsarBridge) -> Judgement:
    return Judge(of, REPLAY, lambda *_: True, 100_000)(letter)


MARKS = {"HEADRACE_REPLAYS": "1", "HEADRACE_REPLAY": "a"}


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_p1_an_entry_of_a_stream_is_the_same_again_whatever_its_bytes(pairs: list[tuple[bytes, bytes]]) -> None:
    entry = row(b"1-2", *(part for pair in pairs for part in pair))
    assert decoded(from_readable(readable(entry))) == decoded(entry)
    assert from_readable(readable(entry)) == entry


def test_p1_an_entry_without_its_payload_field_goes_when_the_bridge_names_another_and_stays_until_then() -> None:
    letter = lying(
        converter(routing(EntryFormat.FIELDS, payload_field="body"))(row(b"7-0", b"text", b"\xff", b"n", b"1"))
    )
    still = judged(letter, bridge(STREAM))
    assert (still.fate, still.message) == (Fate.FAILED, None)
    assert "no message can be made of it yet: the entry has no field body" in still.problem
    goes = judged(letter, bridge({"stream": {"key": "s", "payloadField": "text"}}))
    assert goes.target == SINK
    assert goes.message is not None
    assert (goes.message.payload, goes.message.reason) == (b"\xff", None)
    assert goes.message.properties == {"VALKEY_STREAM_ID": "7-0", "n": "1", **MARKS}


@pytest.mark.parametrize("old", [False, True])
def test_an_entry_without_its_key_takes_the_key_that_is_selected_now(old: bool) -> None:
    """With the envelope of the sink, and its own properties alone in there; letters of older versions too."""
    message = converter(routing(EntryFormat.RAW, key="id"))(b'{"order": "o"}')
    if old:
        del (message.properties or {})["HEADRACE_FORM"]
    goes = judged(lying(message), bridge(LIST, key="order", properties={"o": "order"}, envelope="JSON"))
    assert goes.message is not None
    assert goes.message.key == "o"
    assert goes.message.properties == {"o": "o", **MARKS}
    sealed = orjson.loads(goes.message.payload)
    assert (sealed["payload"], sealed["properties"], sealed["key"]) == ({"order": "o"}, {"o": "o"}, "o")
    assert judged(lying(message), bridge(LIST, key="id")).fate is Fate.FAILED


def test_what_a_channel_published_and_what_an_outbox_held_is_tried_again_too() -> None:
    heard = published(b"news", b"{}")
    letter = lying(converter(routing(EntryFormat.PUBLISHED, key="id"))(heard))
    goes = judged(letter, bridge(CHANNELS))
    assert goes.message is not None
    assert goes.message.properties == {"VALKEY_CHANNEL": "news", **MARKS}
    for entry in (b"no JSON", b'{"type": "Result"}'):
        stays = judged(lying(converter(routing(EntryFormat.OUTBOX))(entry)), bridge(OUTBOX))
        assert stays.fate is Fate.FAILED


def test_p1_a_letter_that_is_a_whole_record_becomes_the_message_of_its_record() -> None:
    """As it was before it became a letter, and back where it came from, not where the letter lies."""
    origin = "persistent://shop/orders/source"
    properties = {"REAL_TOPIC": origin, "HEADRACE_REASON": "InvalidJSON", "HEADRACE_KEPT_REAL_TOPIC": "mine", "p": "q"}
    record = orjson.dumps(
        {"type": "DeadLetter", "payloadBase64": "eA==", "key": "k", "properties": properties, "eventTimeMillis": 7}
    )
    letter = lying(as_entry(record, "Outbox", Message(b"", None, {}, None, "InvalidJSON")))
    spec = bridge(LIST).model_dump(by_alias=True, exclude_none=True)
    spec["spec"]["source"] = {"pulsar": {"topic": origin, "subscription": "s"}}
    spec["spec"]["sink"] = {"valkey": {"list": {"key": "l"}}}
    goes = judged(letter, parse(PulsarBridge, spec))
    assert goes.target == origin
    assert goes.message is not None
    assert (goes.message.payload, goes.message.key, goes.message.event_time) == (b"x", "k", 7)
    assert goes.message.properties == {"REAL_TOPIC": "mine", "p": "q", **MARKS}


def test_what_the_broker_takes_in_chunks_alone_needs_chunking() -> None:
    message = converter(routing(EntryFormat.RAW, limit_bytes=50_000))(b"x" * 200_000)
    assert message.reason == "MessageTooLarge"
    assert "sink.pulsar.chunking is off" in judged(lying(message), bridge(LIST)).problem
    goes = judged(lying(message), bridge(LIST, chunking=True))
    assert goes.message is not None
    assert goes.message.payload == message.payload
