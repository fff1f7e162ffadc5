"""A letter of a letter is known as one, by whatever way it came."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.bridge.record import converter
from headrace.bridge.resting_letter import RestingLetters
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.process.letter_properties import KEPT, REASON, kept, letter_names

TWICE = {REASON: "b", KEPT + REASON: "a"}
FOUR_TIMES = {KEPT * times + REASON: "x" for times in range(4)}


def resting(**source: Any) -> RestingLetters:
    body = {
        "source": {"pulsar": {"subscription": "s", **source}},
        "sink": {"valkey": {"list": {"key": "orders"}}},
        "deadLetter": {"topic": "persistent://a/b/dead"},
        "valkey": {"url": "valkey://h"},
        "pulsar": {"serviceUrl": "pulsar://p:6650", "adminUrl": "http://p:8080"},
    }
    return RestingLetters(parse(PulsarBridge, {"metadata": {"namespace": "n", "name": "w"}, "spec": body}))


def message(producer: str, size: int = 1) -> Any:
    return SimpleNamespace(producer_name=lambda: producer, data=lambda: bytes(size))


def test_each_letter_counts_once() -> None:
    properties: dict[str, str] = {"mine": "x"}
    for times in range(5):
        assert len(letter_names(properties)) == times
        properties = kept(properties) | {REASON: "why"}


LETTER, CHUNKS = "headrace/PulsarBridge/n/b@i/dead-letters", "headrace/PulsarBridge/n/b@i/chunks"


@pytest.mark.parametrize(
    ("producer", "properties", "size", "by_pattern", "by_name"),
    [
        (LETTER, {REASON: "a"}, 1, True, False),
        (LETTER, FOUR_TIMES, 1, True, True),
        (LETTER, {}, 1, False, False),
        (CHUNKS, {REASON: "a", "DELAY_TIME": "1"}, 1, True, False),
        (CHUNKS, {REASON: "a", "DELAY_TIME": "1"}, 5_000_000, False, False),  # a large message, carried
        ("headrace/PulsarBridge/n/b@i", FOUR_TIMES, 1, False, False),  # carried out of its topic
        ("somebody/dead-letters", FOUR_TIMES, 1, False, False),  # nobody keeps it there
    ],
)
def test_p1_only_a_letter_that_lies_where_it_was_put_is_passed_over(
    producer: str, properties: dict[str, str], size: int, by_pattern: bool, by_name: bool
) -> None:
    found = message(producer, size)
    assert resting(topicsPattern="persistent://a/b/.*").stays(found, properties) is by_pattern
    assert resting(topic="persistent://a/b/c").stays(found, properties) is by_name


def test_p1_a_letter_that_came_by_a_stream_is_known_as_one() -> None:
    target = Target("persistent://a/b/c", 0)
    routing = Routing(target, target, EntryFormat.FIELDS, None, "PulsarBridge/n/b", payload_field="missing")
    parts = [part.encode() for pair in {"p": "1", **TWICE}.items() for part in pair]
    entry = b" ".join([b"7-0", *(b"%d" % len(part) for part in parts)]) + b"\n" + b"".join(parts)
    letter = converter(routing)(entry)
    assert letter.reason == "FieldMissing"
    assert len(letter_names(letter.properties or {})) == 3
