"""A message's own properties pass by those of its letter, whatever their names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.bridge.headers import Headers
from headrace.bridge.letter import UnreplayableError, renewed
from headrace.bridge.message import CHUNK_BYTES, Message, fitted, metadata_bytes
from headrace.bridge.preparation import preparer
from headrace.bridge.received_letter import Letters
from headrace.bridge.record import converter
from headrace.bridge.retried import Retried
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.process import letters
from headrace.process.letter_properties import JOURNEY, KEPT, MARKS, original

TOPIC = "persistent://shop/orders/events"
OUTBOX = converter(Routing(Target("s", 0), Target("d", 0), EntryFormat.OUTBOX, None, "PulsarBridge/n/b"))

names = st.sampled_from(sorted(MARKS | JOURNEY | {KEPT, f"{KEPT}REAL_TOPIC", "HEADRACE_X", "traceparent"})) | st.text(
    min_size=1
)
properties = st.dictionaries(names, st.text(), max_size=6)


@dataclass
class Identity:
    """The id of a message."""

    place: tuple[int, int, int, int] = (7, 8, -1, 0)

    def ledger_id(self) -> int:
        return self.place[0]

    def entry_id(self) -> int:
        return self.place[1]

    def batch_index(self) -> int:
        return self.place[2]

    def partition(self) -> int:
        return self.place[3]


@dataclass
class Received:
    """A message as the core gives it out."""

    found: dict[str, str]
    payload: bytes = b'{"id": 1}'
    key: str = ""
    event_time: int = 0
    published: int = 1_000
    producer: str = "standalone-0-1"
    topic: str = f"{TOPIC}-partition-0"
    identity: Identity = field(default_factory=Identity)

    def data(self) -> bytes:
        return self.payload

    def properties(self) -> dict[str, str]:
        return dict(self.found)

    def partition_key(self) -> str:
        return self.key

    def ordering_key(self) -> str:
        return ""

    def has_null_value(self) -> bool:
        return False

    def int_schema_version(self) -> int:
        return -1

    def event_timestamp(self) -> int:
        return self.event_time

    def publish_timestamp(self) -> int:
        return self.published

    def producer_name(self) -> str:
        return self.producer

    def topic_name(self) -> str:
        return self.topic

    def message_id(self) -> Any:
        return self.identity


def bridge(**sink: Any) -> PulsarBridge:
    spec = {
        "source": {"pulsar": {"topic": TOPIC, "subscription": "s"}},
        "sink": {"valkey": sink or {"list": {"key": "l", "envelope": "JSON"}}},
        "cache": {"key": "id", "prefix": "order:", "ttlSeconds": 9},
        "retry": {"maxAttempts": 3},
        "valkey": {"url": "valkey://v"},
        "pulsar": {"serviceUrl": "pulsar://p", "adminUrl": "http://p"},
    }
    resource = {"apiVersion": "headrace.dev/v1alpha1", "kind": "PulsarBridge", "spec": spec}
    return parse(PulsarBridge, {**resource, "metadata": {"name": "b", "namespace": "n"}})


BRIDGE = bridge()
HEADERS = Headers(None)
LETTERS = Letters(BRIDGE, HEADERS)
RETRY = BRIDGE.spec.retry_topic


def dead(message: Any) -> Message:
    return OUTBOX(LETTERS.dead(message, message.message_id(), "InvalidJSON", "no JSON").dead_letter)


def retried(message: Any, number: int = 9) -> Retried:
    """The retry letter of *message*, as it comes from the retry topic."""
    record = LETTERS.refused(message, message.message_id(), "WrongType", "a hash").dead_letter
    made = OUTBOX(record)
    assert made.deliver_at is not None
    found = {**(made.properties or {}), "HEADRACE_CUT": f"c:{number}"}
    identity = Identity((99, number, -1, -1))
    came = Received(
        found, made.payload, made.key or "", made.event_time or 0, 5_000, "headrace/x", str(RETRY), identity
    )
    return Retried(came, BRIDGE.spec.consumes)


@given(properties)
@example({"REAL_TOPIC": "persistent://a/b/c", "HEADRACE_REASON": "x", "HEADRACE_CUT": "c", f"{KEPT}REAL_TOPIC": "y"})
def test_p1_a_letter_gives_back_the_properties_that_the_message_had(found: dict[str, str]) -> None:
    letter = dead(Received(found))
    assert letter.properties is not None
    assert original(letter.properties) == found
    assert letter.properties["REAL_TOPIC"] == TOPIC
    assert letter.properties["HEADRACE_REASON"] == "InvalidJSON"
    if JOURNEY.isdisjoint(found):
        assert renewed(letter.properties, 3) == {**found, "HEADRACE_REPLAYS": "1"}
    else:
        with pytest.raises(UnreplayableError, match="its producer gave it the property HEADRACE_"):
            renewed(letter.properties, 3)


@given(properties)
def test_p1_a_letter_of_a_task_gives_them_back_too_and_its_span_is_none_of_them(found: dict[str, str]) -> None:
    [entry] = preparer(bridge(celery={"task": "t", "queue": "q"}), "p", HEADERS)(
        [Received(found, event_time=5)]
    ).entries
    headers = json.loads(entry.entry if not isinstance(entry, bytes) else entry)["headers"]
    for span in ({}, {"traceparent": "00-b"}, {"traceparent": "00-b", "tracestate": "s=1"}):
        record = letters.dead_letter(
            reason="TaskFailed",
            error="e",
            attempts=1,
            source="ValkeyWorker/n/w",
            headers={**headers, **span},
            payload=b"1",
        )
        made = OUTBOX(orjson.dumps(record))
        assert made.properties is not None
        assert original(made.properties) == found
        assert span.items() <= made.properties.items()
        assert made.event_time == 5


@given(properties, st.text(), st.integers(0, 2**40))
def test_p1_a_retried_message_looks_as_it_first_did_after_any_number_of_attempts(
    found: dict[str, str], key: str, event_time: int
) -> None:
    message = Received(found, key=key, event_time=event_time)
    once = retried(message)
    twice = retried(once, 10)
    prepare = preparer(BRIDGE, "p", HEADERS)
    entries = [prepare([each]).entries[0] for each in (message, once, twice)]
    assert len({each.entry for each in entries}) == 1  # type: ignore[union-attr]
    assert [each.attempt for each in (once, twice)] == [2, 3]
    assert once.message_id() is not message.message_id()
    letter = dead(twice)
    assert letter.properties is not None
    assert (original(letter.properties), letter.properties["HEADRACE_PUBLISH_TIME"]) == (found, "1000")


def test_what_a_replay_noted_is_counted_and_seen_by_no_task() -> None:
    noted = {"HEADRACE_REPLAYS": "2", "HEADRACE_REPLAY": "a", "HEADRACE_LETTER": "l"}
    message = Received({"tenant": "x", **noted}, producer="headrace/PulsarBridge/n/b/replay")
    for each in (message, retried(message)):
        [entry] = preparer(BRIDGE, "p", HEADERS)([each]).entries
        assert json.loads(entry.entry)["properties"] == {"tenant": "x"}  # type: ignore[union-attr]
        letter = dead(each)
        assert renewed(letter.properties or {}, 3) == {"tenant": "x", "HEADRACE_REPLAYS": "3"}
    forged = Received({"HEADRACE_REPLAYS": "2"})
    [entry] = preparer(BRIDGE, "p", HEADERS)([forged]).entries
    assert json.loads(entry.entry)["properties"] == {"HEADRACE_REPLAYS": "2"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("topic", "name"),
    [(TOPIC, 'x","task":"other'), (TOPIC, "7:8"), ("persistent://shop/orders/other", "7:8:-1"), ("", "")],
)
def test_p7_what_a_letter_says_of_another_topic_or_in_another_form_is_not_believed(topic: str, name: str) -> None:
    found = {"REAL_TOPIC": topic, "ORIGIN_MESSAGE_ID": name, "RECONSUMETIMES": "7", "tenant": "x"}
    one = Retried(Received(found, topic=str(RETRY)), BRIDGE.spec.consumes)
    assert one.origin == (RETRY, "7:8:0")
    assert (one.attempt, one.properties()) == (1, found)


def test_java_s_retry_letters_are_seen_without_what_java_wrote() -> None:
    java = {
        "REAL_TOPIC": f"{TOPIC}-partition-3",
        "REAL_SUBSCRIPTION": "s",
        "ORIGIN_MESSAGE_ID": "7:8:3:0",
        "ORIGIN_MESSAGE_IDY_TIME": "7:8:3:0",
        "RECONSUMETIMES": "1",
        "DELAY_TIME": "1000",
    }
    one = Retried(Received({**java, "tenant": "x", "HEADRACE_CUT": "c:1"}), BRIDGE.spec.consumes)
    assert (one.origin, one.attempt) == ((TOPIC, "7:8:3:0"), 2)
    assert one.properties() == {"tenant": "x", "HEADRACE_CUT": "c:1"}


LIMIT = 100_000


@pytest.mark.parametrize("size", [0, 70_000, LIMIT - CHUNK_BYTES - 2_000, LIMIT - CHUNK_BYTES, LIMIT, 3 * LIMIT])
def test_p1_a_letter_keeps_its_reason_key_and_properties_however_long_these_are(size: int) -> None:
    """Errors are cut for it; of what no broker takes beside them the letter is the whole record."""
    convert = converter(
        Routing(Target("s", 0), Target("d", 0), EntryFormat.OUTBOX, None, "PulsarBridge/n/b", limit_bytes=LIMIT)
    )
    message = Received({"long": "x" * size, "REAL_TOPIC": "own"}, b"no JSON", "k", 5)
    record = LETTERS.dead(message, message.message_id(), "InvalidJSON", "é" * 1000).dead_letter
    letter = convert(record)
    assert letter.reason == "InvalidJSON"
    found = letter.properties or {}
    assert found["HEADRACE_REASON"] == "InvalidJSON"
    assert metadata_bytes(letter) <= LIMIT - CHUNK_BYTES
    if "HEADRACE_FORM" not in found:
        assert (letter.payload, letter.key, letter.event_time) == (b"no JSON", "k", 5)
        assert (found["REAL_TOPIC"], original(found)) == (TOPIC, message.found)
        return
    assert (found["HEADRACE_FORM"], letter.payload) == ("Outbox", record)
    assert size >= LIMIT - CHUNK_BYTES - 2_000


def test_an_error_is_cut_at_a_character() -> None:
    letter = Message(b"", None, {"HEADRACE_ERROR": "é" * 100}, None, "R")
    limit = metadata_bytes(letter) + CHUNK_BYTES - 51
    cut = fitted(letter, limit)
    assert cut is not None
    assert cut.properties == {"HEADRACE_ERROR": "é" * 74}


def test_p1_a_result_with_long_properties_is_a_letter_with_all_of_them() -> None:
    record = {"type": "Result", "payload": {"a": 1}, "key": "k", "properties": {"REAL_TOPIC": "x" * 70_000}}
    letter = OUTBOX(json.dumps(record).encode())
    assert (letter.reason, letter.payload, letter.key) == ("MetadataTooLarge", b'{"a": 1}', "k")
    assert original(letter.properties or {}) == record["properties"]


def test_counts_that_nobody_counted_up_to_are_none() -> None:
    for text in ("x", "-1", "9" * 5000, "²", ""):
        with pytest.raises(UnreplayableError, match="is no number"):
            renewed({"HEADRACE_REPLAYS": text}, 3)
