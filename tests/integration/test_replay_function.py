"""`replay_dlq_messages` on a real broker."""

import os
import subprocess
import sys
import uuid
from collections import Counter
from typing import Any

import pytest
from pulsar import PulsarException

from headrace.bridge import Message, ReplayReport, replay_dlq_messages
from testbed.pulsar import Pulsar
from tests.integration.dataplane import (
    ROOT,
    backlog,
    create_subscription,
    create_topic,
    payloads,
    producers,
    publish,
    read_topic,
    use_name,
)

SUBSCRIPTION = "headrace-replay"

DOOMED = """
import os, signal, sys
from headrace.bridge import replay_dlq_messages
from headrace.bridge.dead_letters import DeadLetters

acknowledge = DeadLetters.acknowledge
calls = 0

def deadly(self, letters):
    global calls
    calls += 1
    if calls == 2 and sys.argv[4] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    acknowledge(self, letters)
    if calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)

DeadLetters.acknowledge = deadly
replay_dlq_messages(sys.argv[1], sys.argv[2], lambda letter: letter, service_url=sys.argv[3])
"""


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = create_topic(pulsar, f"persistent://public/default/function-{uuid.uuid4().hex[:8]}", partitions=2)
    create_topic(pulsar, f"{name}-DLQ")
    return name


def bury(pulsar: Pulsar, topic: str, letters: list[bytes], **properties: str) -> None:
    publish(pulsar, f"{topic}-DLQ", letters, batched=False, properties={"HEADRACE_REASON": "Refused", **properties})


def replay(pulsar: Pulsar, topic: str, processor: Any, **options: Any) -> ReplayReport:
    return replay_dlq_messages(topic, f"{topic}-DLQ", processor, service_url=pulsar.service_url, **options)


def test_the_processor_decides_what_goes_back(pulsar: Pulsar, topic: str) -> None:
    bury(pulsar, topic, [b"as it is", b"mended", b"left", b"raises", b"anew"], tenant="x")
    bury(pulsar, topic, [b"tired"], HEADRACE_REPLAYS="3")

    def processor(letter: Any) -> Any:
        made = {
            b"as it is": letter,
            b"mended": b"sound",
            b"left": None,
            b"anew": Message(b"new", "key", {"tenant": "y"}),
            b"tired": letter,
        }
        return made[letter.data()]

    report = replay(pulsar, topic, processor)
    assert (report.matched, report.replayed, report.skipped, report.failed) == (3, 3, 1, 2)
    assert "maxReplays" in report.problem
    found = {message.data(): message for message in read_topic(pulsar, topic)}
    assert set(found) == {b"as it is", b"sound", b"new"}
    assert found[b"new"].partition_key() == "key"
    properties = found[b"sound"].properties()
    del properties["HEADRACE_LETTER"]
    assert properties == {"tenant": "x", "HEADRACE_REPLAYS": "1"}
    assert found[b"new"].properties()["tenant"] == "y"
    assert backlog(pulsar, f"{topic}-DLQ", SUBSCRIPTION) == 3
    # What stayed is met again, by a processor that knows better by now.
    again = replay(pulsar, topic, lambda letter: letter, idle_seconds=1)
    assert (again.replayed, again.failed) == (2, 1)
    assert Counter(payloads(pulsar, topic)).keys() == {"as it is", "sound", "new", "left", "raises"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_p1_p2_called_again_after_a_kill_nothing_is_lost_and_nothing_doubled(
    pulsar: Pulsar, topic: str, moment: str
) -> None:
    letters = [f"letter {number}".encode() for number in range(300)]
    bury(pulsar, topic, letters)
    arguments = [topic, f"{topic}-DLQ", pulsar.service_url, moment]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run([sys.executable, "-c", DOOMED, *arguments], env=environment, timeout=120)
    assert done.returncode == -9
    assert len(payloads(pulsar, topic)) >= 200
    report = replay(pulsar, topic, lambda letter: letter)
    assert Counter(payloads(pulsar, topic)) == Counter(letter.decode() for letter in letters)
    assert report.failed == 0
    assert backlog(pulsar, f"{topic}-DLQ", SUBSCRIPTION) == 0


def test_p1_what_the_broker_takes_for_a_repetition_of_somebody_elses_stays_a_letter(pulsar: Pulsar) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/function-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-DLQ")
    create_subscription(pulsar, topic, "keep")
    bury(pulsar, topic, [b"1", b"2", b"3"])

    def processor(letter: Any) -> Any:
        if letter.data() == b"2" and payloads(pulsar, topic) != ["foreign"]:
            use_name(pulsar, topic, producers(pulsar, topic)[0], sequence_id=2**60)
        return letter

    with pytest.raises(PulsarException, match="takes it for a repetition"):
        replay(pulsar, topic, processor)
    assert backlog(pulsar, f"{topic}-DLQ", SUBSCRIPTION) == 3


def test_a_limit_and_a_wrong_call(pulsar: Pulsar, topic: str) -> None:
    bury(pulsar, topic, [b"1", b"2", b"3"])
    assert replay(pulsar, topic, lambda letter: letter, limit=2, rate_per_second=100).replayed == 2
    assert backlog(pulsar, f"{topic}-DLQ", SUBSCRIPTION) == 1
    with pytest.raises(ValueError, match="service_url or client"):
        replay_dlq_messages(topic, f"{topic}-DLQ", lambda letter: letter)
