"""Which letter a replay takes, where it goes, and as what."""

from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay
from headrace.api.resource import parse
from headrace.bridge.judgement import MOST_TARGETS, Fate, Judge, Judgement
from headrace.bridge.letter import Letter
from headrace.bridge.matching import Matcher
from headrace.bridge.message import Message
from headrace.bridge.pace import Pace

TOPIC = "persistent://shop/orders/events"
DEAD = f"{TOPIC}-pricing-DLQ"


def replay(**fields: Any) -> Replay:
    return Replay.model_validate({"id": "a", "from": "DeadLetter", **fields})


def letter(payload: bytes = b'{"id": 1}', /, **properties: str) -> Letter:
    return Letter("7:8:-1", payload, "key", {"REAL_TOPIC": TOPIC, **properties}, 5, 1_000)


def bridge(**source: Any) -> PulsarBridge:
    spec = {
        "source": {"pulsar": {"topicsPattern": "persistent://shop/orders/e.*", "subscription": "pricing", **source}},
        "sink": {"valkey": {"list": {"key": "l"}}},
        "deadLetter": {"topic": DEAD},
        "valkey": {"url": "valkey://v"},
        "pulsar": {"serviceUrl": "pulsar://p", "adminUrl": "http://p"},
    }
    resource = {"apiVersion": "headrace.dev/v1alpha1", "kind": "PulsarBridge", "spec": spec}
    return parse(PulsarBridge, {**resource, "metadata": {"name": "b", "namespace": "n"}})


def judge(bridge: PulsarBridge, **fields: Any) -> Judge:
    wanted = replay(**fields)
    return Judge(bridge, wanted, Matcher(wanted.match), 5_000_000)


def judged(one: Letter, **fields: Any) -> Judgement:
    return judge(bridge(), **fields)(one)


def made(judgement: Judgement) -> Message:
    assert judgement.message is not None, judgement
    return judgement.message


@pytest.mark.parametrize(
    ("match", "chosen"),
    [
        ("reason == 'Timeout'", True),
        ("reason == 'Refused'", False),
        ("payload.id == `1`", True),
        ("properties.tenant", True),
        ("properties.nobody", False),
        ("key == 'key' && attempts > `2`", True),
        ("publishTime < `1000`", False),
        (f"topic == '{TOPIC}' && messageId == '7:8:-1'", True),
        ("contains(error, 'slow')", True),
        ("attempts", True),
        ("`0`", True),
    ],
)
def test_match_sees_all_that_a_letter_says(match: str, chosen: bool) -> None:
    one = letter(HEADRACE_REASON="Timeout", HEADRACE_ERROR="too slow", HEADRACE_ATTEMPTS="3", tenant="x")
    assert judged(one, match=match).fate is (Fate.REPLAYED if chosen else Fate.SKIPPED)


def test_match_sees_a_payload_that_is_no_json_as_text_or_not_at_all() -> None:
    assert judged(letter(b"plain"), match="payload == 'plain'").fate is Fate.REPLAYED
    assert judged(letter(b"\xff"), match="payload == null").fate is Fate.REPLAYED


def test_a_letter_begins_anew_without_what_made_it_one() -> None:
    marks = {"HEADRACE_REASON": "r", "HEADRACE_ERROR": "e", "HEADRACE_ATTEMPTS": "5", "HEADRACE_SOURCE": "s"}
    marks |= {"RECONSUMETIMES": "4", "DELAY_TIME": "9", "ORIGIN_MESSAGE_ID": "1:2:-1", "HEADRACE_CUT": "c:1"}
    message = made(judged(letter(b"\xff\x00", tenant="x", **marks)))
    assert (message.payload, message.key, message.event_time) == (b"\xff\x00", "key", 5)
    assert message.properties == {"tenant": "x", "HEADRACE_REPLAYS": "1", "HEADRACE_REPLAY": "a"}


def test_a_letter_goes_where_it_came_from_unless_told_otherwise() -> None:
    other = "persistent://shop/orders/other"
    nameless = Letter("7:8:-1", b"", None, {}, 0, 0)
    assert judged(letter()).target == TOPIC
    assert judged(letter(REAL_TOPIC=f"{TOPIC}-partition-3")).target == TOPIC
    assert judged(letter(), target=other).target == other
    assert judge(bridge(topicsPattern=None, topic=TOPIC))(nameless).target == TOPIC


def test_p7_a_letter_that_cannot_go_stays_with_its_reason() -> None:
    for one, fields, problem in (
        (letter(HEADRACE_REPLAYS="2"), {"maxReplays": 2}, "it was replayed 2 times, and maxReplays is 2"),
        (letter(HEADRACE_REPLAYS="x"), {}, "HEADRACE_REPLAYS is no number"),
        (letter(REAL_TOPIC="nonsense"), {}, "REAL_TOPIC names no topic: nonsense"),
        (letter(), {"match": "contains(error, 'x')"}, "match does not apply to it"),
        (letter(REAL_TOPIC="persistent://shop/other/events"), {}, "which is no topic of the bridge: name a target"),
        (letter(REAL_TOPIC=""), {}, "the bridge has several topics: name a target"),
        (letter(REAL_TOPIC="", HEADRACE_SOURCE="ValkeyWorker/n/w"), {}, "but of a worker's own list: name a target"),
        (letter(HEADRACE_FORM="Fields"), {}, "its payload is no entry of a stream"),
        (letter(HEADRACE_FORM="Other"), {}, "of a form that no replay takes: Other"),
        (letter(HEADRACE_METADATA="CgE="), {}, "it holds what no client could read"),
        (letter(), {"target": DEAD}, "it would go to the dead-letter topic again"),
    ):
        judgement = judged(one, **fields)
        assert judgement.fate is Fate.FAILED
        assert judgement.problem.startswith("7:8:-1 stays: ")
        assert problem in judgement.problem


def test_the_number_of_topics_is_bounded() -> None:
    decide = judge(bridge())
    fates = [decide(letter(REAL_TOPIC=f"{TOPIC}-{number}")).fate for number in range(MOST_TARGETS + 1)]
    assert fates == [Fate.REPLAYED] * MOST_TARGETS + [Fate.FAILED]
    assert decide(letter(REAL_TOPIC=f"{TOPIC}-0")).fate is Fate.REPLAYED


def test_the_pace_spreads_what_passes_over_the_second() -> None:
    now = [0.0]
    pace = Pace(50, lambda: now[0])
    waited = 0.0
    for _ in range(100):
        portion = pace.portion(1000)
        wait = pace.passed(portion)
        waited += wait
        now[0] += wait
    assert (portion, round(waited * 50)) == (5, 500)
    assert (Pace(None).portion(1000), Pace(None).passed(1000)) == (1000, 0.0)
    assert Pace(1).portion(1000) == 1
