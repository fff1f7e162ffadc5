"""Replays of dead letters, with real brokers and real processes."""

import base64
import hashlib
import json
import signal
import uuid
from collections import Counter
from typing import Any

import pytest

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    backlog,
    connections,
    create_subscription,
    create_topic,
    delete_topic,
    payloads,
    publish,
    read_topic,
    resource,
    terminate,
    wait_for,
)
from tests.integration.replay_run import PREFIX, RUN, counts, end_leases, run, wait_for_phase

WAY = "headrace.bridge.way_back:WayBack"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    """The sink of a bridge from Valkey, with its dead-letter topic."""
    name = create_topic(pulsar, f"persistent://public/default/replay-{uuid.uuid4().hex[:8]}", partitions=2)
    create_topic(pulsar, f"{name}-DLQ")
    create_subscription(pulsar, f"{name}-DLQ", DEAD_LETTER_SUBSCRIPTION)
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **replay: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders"}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
        "replay": {"id": "a", "from": "DeadLetter", **replay},
    }
    return resource("PulsarBridge", "orders", spec)


def bury(pulsar: Pulsar, topic: str, count: int, **properties: str) -> list[str]:
    """Put letters into the dead-letter topic, one by one as bridges do; returns their payloads."""
    letters = [f'{{"id": {number}, "reason": "{properties}"}}' for number in range(count)]
    marks = {"HEADRACE_REASON": "Timeout", "HEADRACE_ATTEMPTS": "3", **properties}
    publish(pulsar, f"{topic}-DLQ", [each.encode() for each in letters], batched=False, properties=marks)
    return letters


def left(pulsar: Pulsar, topic: str) -> int:
    return backlog(pulsar, f"{topic}-DLQ", DEAD_LETTER_SUBSCRIPTION)


def test_letters_that_match_go_back_once_and_the_others_stay(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    timeouts = bury(pulsar, topic, 250, tenant="x")
    refused = bury(pulsar, topic, 40, HEADRACE_REASON="Refused")
    tired = bury(pulsar, topic, 3, HEADRACE_REPLAYS="3")
    document = bridge(valkey, pulsar, topic, match="reason == 'Timeout'")
    running = processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert sorted(payloads(pulsar, topic)) == sorted(timeouts)
    assert counts(valkey) == (250, 250, 40, 3)
    assert "was replayed 3 times" in run(valkey)["problem"]
    message = read_topic(pulsar, topic)[0]
    assert {name: value for name, value in message.properties().items() if name != "HEADRACE_LETTER"} == {
        "tenant": "x",
        "HEADRACE_REPLAYS": "1",
        "HEADRACE_REPLAY": "a",
    }
    assert left(pulsar, topic) == len(refused) + len(tired)
    assert running.metric("headrace_bridge_replayed_total", status="replayed") == 250
    assert running.metric("headrace_bridge_replay_running") == 0

    # The same id never runs again; with other parameters it says so.
    running.stop()
    again = processes.start("bridge", bridge(valkey, pulsar, topic, match="reason == 'Refused'")).wait_until_ready()
    wait_for(lambda: "ran with other parameters" in run(valkey).get("message", ""), "it says so")
    assert run(valkey)["phase"] == "Completed"
    again.stop()

    # Another id is another run, over what is left.
    other = bridge(valkey, pulsar, topic, id="b", match="reason == 'Refused'", limit=30)
    processes.start("bridge", other).wait_until_ready()
    wait_for_phase(valkey, "Completed", "b")
    assert counts(valkey, "b") == (30, 30, 0, 0)
    assert Counter(payloads(pulsar, topic)) == Counter([*timeouts, *refused[:30]])
    assert left(pulsar, topic) == 10 + len(tired)


def test_p1_p2_killed_at_any_step_each_letter_goes_back_once(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    letters = bury(pulsar, topic, 400)
    document = bridge(valkey, pulsar, topic)
    for point in (
        f"{RUN}.depart@before",
        f"{RUN}.depart",
        f"{WAY}.send@before",
        f"{WAY}._send",
        "headrace.bridge.replay_flight:Flights.land@before",
        f"{RUN}.settle@before",
        f"{RUN}.settle",
        "headrace.bridge.dead_letters:DeadLetters.acknowledge#2",
        f"{RUN}.end@before",
    ):
        doomed = processes.start("bridge", document, deadly=point)
        wait_for(lambda doomed=doomed: doomed.process.poll() is not None, f"it dies at {point}\n{doomed.log()}", 60)  # type: ignore[misc]
        assert run(valkey).get("phase") != "Completed"
        end_leases(valkey)
    processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert Counter(payloads(pulsar, topic)) == Counter(letters)
    assert counts(valkey) == (400, 400, 0, 0)
    assert left(pulsar, topic) == 0


def test_a_dry_run_counts_and_moves_nothing(valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes) -> None:
    bury(pulsar, topic, 20)
    bury(pulsar, topic, 5, HEADRACE_REASON="Refused")
    document = bridge(valkey, pulsar, topic, match="reason == 'Timeout'", dryRun=True)
    processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    assert counts(valkey) == (20, 0, 5, 0)
    assert payloads(pulsar, topic) == []
    assert left(pulsar, topic) == 25


def test_p8_a_match_that_chose_nothing_says_what_it_asked_for_in_vain(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    bury(pulsar, topic, 3, tenant="x")
    document = bridge(valkey, pulsar, topic, match="properties.tenat == 'x'")
    running = processes.start("bridge", document).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    told = "match asks for properties.tenat, which none of the 3 messages has"
    assert run(valkey)["message"].startswith(told)
    assert told in running.log()
    assert left(pulsar, topic) == 3


def test_paused_it_waits_resumed_it_goes_on_cancelled_it_ends(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    letters = bury(pulsar, topic, 300)

    def change(before: Headrace | None, **fields: Any) -> Headrace:
        if before:
            assert before.stop() == 0
        return processes.start("bridge", bridge(valkey, pulsar, topic, **fields)).wait_until_ready()

    running = change(None, ratePerSecond=10)
    wait_for(lambda: counts(valkey)[1] >= 5 if run(valkey) else False, "some are replayed")
    running = change(running, ratePerSecond=10, state="Paused")
    wait_for_phase(valkey, "Paused")
    moved = counts(valkey)[1]
    wait_for(lambda: len(payloads(pulsar, topic)) == moved, "what was staged is published")
    assert moved < 300
    running = change(running, ratePerSecond=10)
    wait_for(lambda: counts(valkey)[1] > moved, "it goes on")
    change(running, state="Cancelled")
    wait_for_phase(valkey, "Cancelled")
    moved = counts(valkey)[1]
    wait_for(lambda: payloads(pulsar, topic), "published")
    wait_for(lambda: len(payloads(pulsar, topic)) == moved, "what was staged is published")
    assert set(payloads(pulsar, topic)) <= set(letters)
    assert left(pulsar, topic) == 300 - moved


def test_p5_a_missing_dead_letter_topic_is_told_and_waited_for(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/replay-{uuid.uuid4().hex[:8]}")
    running = processes.start("bridge", bridge(valkey, pulsar, topic))
    wait_for(lambda: f"{topic}-DLQ does not exist" in run(valkey).get("message", ""), "it says so", 60)
    assert running.get("/livez")[0] == 200
    create_topic(pulsar, f"{topic}-DLQ")
    create_subscription(pulsar, f"{topic}-DLQ", DEAD_LETTER_SUBSCRIPTION)
    wait_for_phase(valkey, "Completed")


def test_letters_of_a_bridge_from_pulsar_go_to_the_topic_they_came_from(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    """Poison that was mended passes; poison that was not comes back as a letter that says how often it was replayed."""
    topic = create_topic(pulsar, f"persistent://public/default/replay-{uuid.uuid4().hex[:8]}")
    letters = create_topic(pulsar, f"{topic}-shop-DLQ")
    create_subscription(pulsar, letters, DEAD_LETTER_SUBSCRIPTION)
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": "shop"}},
        "sink": {"valkey": {"list": {"key": "events"}}},
        "deduplicate": {"key": "id"},
        **connections(valkey, pulsar),
    }
    publish(pulsar, topic, [b'{"order": 1}', b'{"id": 2}'])
    first = processes.start("bridge", resource("PulsarBridge", "orders", spec)).wait_until_ready()
    wait_for(lambda: backlog(pulsar, letters, DEAD_LETTER_SUBSCRIPTION) == 1, "a dead letter")
    # a task of the other message failed for good: its letter came by another way
    publish(
        pulsar,
        letters,
        [b'{"id": 2}'],
        batched=False,
        properties={"REAL_TOPIC": topic, "HEADRACE_REASON": "TaskFailed"},
    )
    first.stop()
    spec["replay"] = {"id": "a", "from": "DeadLetter"}
    processes.start("bridge", resource("PulsarBridge", "orders", spec)).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    with valkey.client() as client:
        wait_for(lambda: client.llen("events") == 2, "the window does not swallow what is replayed")
        assert [json.loads(each)["id"] for each in client.lrange("events", 0, -1)] == [2, 2]
    wait_for(lambda: len(read_topic(pulsar, letters)) == 3, "the poison comes back")
    assert read_topic(pulsar, letters)[-1].properties()["HEADRACE_REPLAYS"] == "1"
    assert backlog(pulsar, letters, DEAD_LETTER_SUBSCRIPTION) == 1


@pytest.fixture
def origins(pulsar: Pulsar) -> list[str]:
    """Three source topics of one bridge, the first with its dead-letter topic, that holds three letters of each."""
    base = f"persistent://public/default/replay-{uuid.uuid4().hex[:8]}"
    topics = [create_topic(pulsar, f"{base}-{number}", partitions=number) for number in range(3)]
    letters = create_topic(pulsar, f"{topics[0]}-shop-DLQ")
    create_subscription(pulsar, letters, DEAD_LETTER_SUBSCRIPTION)
    for round_ in range(3):
        for topic in topics:
            marks = {"REAL_TOPIC": topic, "HEADRACE_REASON": "Refused"}
            publish(pulsar, letters, [f'{{"id": "{round_}"}}'.encode()], batched=False, properties=marks)
    return topics


def of_several(valkey: Valkey, pulsar: Pulsar, origins: list[str], **replay: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topics": origins, "subscription": "shop"}},
        "sink": {"valkey": {"list": {"key": "events"}}},
        **connections(valkey, pulsar),
        "replay": {"id": "a", "from": "DeadLetter", **replay},
    }
    return resource("PulsarBridge", "orders", spec)


def staged(valkey: Valkey) -> list[str]:
    """Keys in which something of a replay waits."""
    with valkey.client() as client:
        return [key for key in client.keys(f"{PREFIX}:replays:*") if key.endswith((":outbox", ":cut", ":flight"))]


def test_p1_p8_letters_whose_origin_is_gone_stay_and_are_told(
    valkey: Valkey, pulsar: Pulsar, origins: list[str], processes: Processes
) -> None:
    delete_topic(pulsar, origins[0])
    terminate(pulsar, origins[1])
    for dry in (True, False):
        document = of_several(valkey, pulsar, origins, id=f"dry-{dry}", dryRun=dry)
        running = processes.start("bridge", document)
        wait_for_phase(valkey, "Completed", f"dry-{dry}")
        assert counts(valkey, f"dry-{dry}") == ((6, 0, 0, 3) if dry else (3, 3, 0, 6))
        running.stop()
    assert len(payloads(pulsar, origins[2])) == 3
    assert backlog(pulsar, f"{origins[0]}-shop-DLQ", DEAD_LETTER_SUBSCRIPTION) == 6
    problem = run(valkey, "dry-False")["problem"]
    assert "does not exist" in problem or "was terminated" in problem
    assert staged(valkey) == []
    # made again it takes them, in a run of its own
    create_topic(pulsar, origins[0])
    processes.start("bridge", of_several(valkey, pulsar, origins, id="b"))
    wait_for_phase(valkey, "Completed", "b")
    assert counts(valkey, "b") == (3, 3, 0, 3)
    assert len(payloads(pulsar, origins[0])) == 3


@pytest.mark.parametrize("moment", [f"{RUN}.depart", f"{WAY}.obstacle#4"])
def test_p1_p8_an_origin_that_goes_while_letters_are_on_their_way_keeps_them(
    valkey: Valkey, pulsar: Pulsar, origins: list[str], processes: Processes, moment: str
) -> None:
    document = of_several(valkey, pulsar, origins)
    running = processes.start("bridge", document, deadly=f"{moment}!stopped")
    wait_for(running.frozen, "it stands still", 60)
    delete_topic(pulsar, origins[2])
    end_leases(valkey)
    running.signal(signal.SIGCONT)
    wait_for_phase(valkey, "Completed")
    assert counts(valkey) == (6, 6, 0, 3)
    assert [len(payloads(pulsar, topic)) for topic in origins[:2]] == [3, 3]
    assert backlog(pulsar, f"{origins[0]}-shop-DLQ", DEAD_LETTER_SUBSCRIPTION) == 3
    assert f"{origins[2]} does not exist" in run(valkey)["problem"]
    assert staged(valkey) == []


def test_p2_a_run_that_another_replaces_leaves_no_letter_that_goes_twice(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """Killed after it sent and before it knew: the next run looks what arrived, although it is another one."""
    letters = bury(pulsar, topic, 50)
    doomed = processes.start("bridge", bridge(valkey, pulsar, topic), deadly=f"{WAY}.send")
    wait_for(lambda: doomed.process.poll() is not None, "it dies", 60)
    assert len(payloads(pulsar, topic)) > 0
    end_leases(valkey)
    processes.start("bridge", bridge(valkey, pulsar, topic, id="b")).wait_until_ready()
    wait_for_phase(valkey, "Completed", "b")
    assert Counter(payloads(pulsar, topic)) == Counter(letters)
    assert left(pulsar, topic) == 0
    assert counts(valkey)[1] + counts(valkey, "b")[1] == 50


def test_p1_what_an_older_version_staged_still_arrives(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """Its letters have left the dead letters: a record in an outbox of the replays is all there is of each."""
    short = hashlib.sha256(topic.encode()).hexdigest()[:12]
    record = {"type": "Result", "payloadBase64": base64.b64encode(b"old").decode(), "key": "k", "properties": {}}
    with valkey.client() as client:
        client.sadd(f"{PREFIX}:replays:topics", topic)
        client.lpush(f"{PREFIX}:replays:to:{short}:outbox", json.dumps(record))
    bury(pulsar, topic, 2)
    processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for_phase(valkey, "Completed")
    wait_for(lambda: "old" in payloads(pulsar, topic), "it arrives")
    assert len(payloads(pulsar, topic)) == 3
