"""What happens to the topics of a bridge's sink while it runs, and between two runs."""

import json
import os
import uuid
from collections import Counter
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_subscription,
    create_topic,
    delete_topic,
    grow_partitions,
    payloads,
    publish,
    read_topic,
    resource,
    unload,
    wait_for,
)

PREFIX = "headrace:{test/orders}"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/sink-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ")
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **sink: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders"}}},
        "sink": {"pulsar": {"topic": topic, **sink}},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", "orders", spec)


def push(valkey: Valkey, entries: list[str]) -> None:
    with valkey.client() as client:
        client.lpush("orders", *entries)


def wait_until_moved(valkey: Valkey, seconds: float = 60) -> None:
    with valkey.client() as client:
        wait_for(lambda: client.llen("orders") + client.llen(f"{PREFIX}:cut") == 0, "everything is moved", seconds)


def test_p1_p2_p5_a_topic_that_is_unloaded_many_times_in_a_row(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    """The client's producer then calls itself connected, and never hears of anything again."""
    create_topic(pulsar, topic)
    create_subscription(pulsar, topic, "keep")  # an unloaded topic loses what nobody subscribed to
    processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    pushed = []
    for turn in range(2):
        for number in range(10):
            pushed.append(f"entry {turn} {number}")
            push(valkey, [pushed[-1]])
            unload(pulsar, topic)
        wait_until_moved(valkey)
    assert payloads(pulsar, topic) == pushed


LAYOUTS = {
    "plain to partitioned": (0, 4),
    "partitioned to plain": (4, 0),
    "fewer partitions": (4, 2),
    "more partitions": (2, 4),
    "the same partitions": (2, 2),
    "plain as before": (0, 0),
}


def records(name: str, number: int) -> list[str]:
    """With a few that are no JSON."""
    good = [json.dumps({"id": f"{name} {each}"}) for each in range(number)]
    return [entry if each % 50 else f"poison of {name} {each}" for each, entry in enumerate(good)]


def found_in(pulsar: Pulsar, topic: str) -> Counter[str]:
    return Counter(payloads(pulsar, topic) + payloads(pulsar, f"{topic}-DLQ"))


@pytest.mark.parametrize("dead_letters", [False, True], ids=["the sink", "the dead letters too"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_p1_p2_what_is_in_flight_to_a_topic_that_was_made_anew_arrives_once(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str, layout: str, dead_letters: bool
) -> None:
    before, after = LAYOUTS[layout]
    create_topic(pulsar, topic, before)
    document = bridge(valkey, pulsar, topic, key="id", batching={"maxMessages": 100})
    entries = records("first", 200)
    push(valkey, entries)
    # two cuts are in flight, half of the first one has landed
    dying = processes.start("bridge", document, deadly="headrace.bridge.publisher:Transmission.wait")
    assert dying.process.wait(30) == -9
    delete_topic(pulsar, topic)
    create_topic(pulsar, topic, after)
    if dead_letters:
        delete_topic(pulsar, f"{topic}-DLQ")
        create_topic(pulsar, f"{topic}-DLQ", 3)
    processes.start("bridge", document)
    wait_until_moved(valkey)
    push(valkey, later := records("later", 100))
    wait_until_moved(valkey)
    assert found_in(pulsar, topic) == Counter(entries + later)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_p1_p2_p5_a_topic_is_made_anew_under_a_running_bridge(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str, layout: str
) -> None:
    before, after = LAYOUTS[layout]
    create_topic(pulsar, topic, before)
    document = bridge(valkey, pulsar, topic, key="id", batching={"maxMessages": 50})
    running = processes.start("bridge", document).wait_until_ready()
    push(valkey, records("gone with the topic", 200))
    wait_until_moved(valkey)
    delete_topic(pulsar, topic)
    push(valkey, entries := records("while it is gone", 200))
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    create_topic(pulsar, topic, after)
    wait_until_moved(valkey)
    wait_for(lambda: running.get("/readyz")[0] == 200, "it is ready again")
    later = push_until_all_partitions_are_used(valkey, pulsar, topic, after)
    gone = {text for text in records("gone with the topic", 200) if text.startswith("poison")}
    found = found_in(pulsar, topic)
    assert found == Counter([*entries, *later, *gone])


def push_until_all_partitions_are_used(valkey: Valkey, pulsar: Pulsar, topic: str, partitions: int) -> list[str]:
    """Without a restart, within seconds. Returns what was pushed."""
    pushed: list[str] = []

    def used() -> bool:
        push(valkey, more := records(f"later {len(pushed)}", 50))
        pushed.extend(more)
        wait_until_moved(valkey)
        return len({message.topic_name() for message in read_topic(pulsar, topic)}) == max(partitions, 1)

    wait_for(used, "all partitions are used")
    return pushed


def test_p1_p2_partitions_that_are_added_are_used_without_a_restart(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    create_topic(pulsar, topic, 2)
    processes.start("bridge", bridge(valkey, pulsar, topic, key="id")).wait_until_ready()
    pushed = push_until_all_partitions_are_used(valkey, pulsar, topic, 2)
    grow_partitions(pulsar, topic, 5)
    pushed += push_until_all_partitions_are_used(valkey, pulsar, topic, 5)
    assert found_in(pulsar, topic) == Counter(pushed)


REROUTING = {
    "before the other route": "headrace.bridge.cut:CutStore.reroute@before",
    "after the other route": "headrace.bridge.cut:CutStore.reroute",
    "in the middle of sending": "headrace.bridge.publisher:_Writer.write#2",
    "after sending, before the commit": "headrace.bridge.publisher:Transmission.wait",
    "after the first commit": "headrace.bridge.cut:CutStore.commit",
}


@pytest.mark.parametrize("point", REROUTING)
def test_p1_p2_killed_while_it_gives_cuts_another_route(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str, point: str
) -> None:
    create_topic(pulsar, topic, 4)
    document = bridge(valkey, pulsar, topic, key="id", batching={"maxMessages": 100})
    push(valkey, entries := records("entry", 200))
    # the topic is made anew twice, with half of a cut in it each time
    for partitions, deadly in ((3, "headrace.bridge.publisher:Transmission.wait"), (2, REROUTING[point])):
        dying = processes.start("bridge", document, deadly=deadly)
        assert dying.process.wait(30) == -9
        release(valkey)
        delete_topic(pulsar, topic)
        create_topic(pulsar, topic, partitions)
    left = in_flight(valkey)
    processes.start("bridge", document)
    wait_until_moved(valkey)
    letters = [entry for entry in entries if entry.startswith("poison")]
    assert len(left) == (100 if point == "after the first commit" else 200)
    assert Counter(payloads(pulsar, topic)) == Counter(left) - Counter(letters)
    assert sorted(payloads(pulsar, f"{topic}-DLQ")) == sorted(letters)


def in_flight(valkey: Valkey) -> list[str]:
    """What was cut, and then what was not: all else is in Pulsar."""
    with valkey.client() as client:
        return [*client.lrange(f"{PREFIX}:cut", 0, -1), *reversed(client.lrange("orders", 0, -1))]


def release(valkey: Valkey) -> None:
    """End the lease of a bridge that was killed, to save the seconds."""
    with valkey.client() as client:
        client.delete(f"{PREFIX}:lease")


def test_p1_p2_what_landed_in_the_topic_made_anew_before_the_crash_is_not_sent_again(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    """Two of four partitions are there again, and the client has sent their frames, when the bridge is killed."""
    create_topic(pulsar, topic, 4)
    document = bridge(valkey, pulsar, topic, key="id", batching={"maxMessages": 100})
    running = processes.start("bridge", document).wait_until_ready()
    delete_topic(pulsar, topic)
    push(valkey, entries := records("entry", 100))
    with valkey.client() as client:
        wait_for(lambda: client.llen(f"{PREFIX}:cut") == 100, "they are in flight")
        create_topic(pulsar, topic, 2)
        wait_for(lambda: payloads(pulsar, topic), "the client reconnects and sends")
        running.kill()
        landed = len(payloads(pulsar, topic))
        release(valkey)
    processes.start("bridge", document)
    wait_until_moved(valkey)
    assert landed > 0
    assert found_in(pulsar, topic) == Counter(entries)


def test_p1_p2_envelopes_keep_their_ids_on_another_route(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    create_topic(pulsar, topic, 2)
    document = bridge(valkey, pulsar, topic, envelope="JSON")
    push(valkey, [f"entry {number}" for number in range(20)])
    dying = processes.start("bridge", document, deadly="headrace.bridge.publisher:Transmission.wait")
    assert dying.process.wait(30) == -9
    before = payloads(pulsar, topic)
    delete_topic(pulsar, topic)
    create_topic(pulsar, topic)
    processes.start("bridge", document)
    wait_until_moved(valkey)
    assert len(before) == 20
    assert payloads(pulsar, topic) == before


def test_p1_p2_chunks_and_batches_follow_a_topic_that_was_made_anew(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    create_topic(pulsar, topic, 3)
    document = bridge(valkey, pulsar, topic, chunking=True, compression="None")
    entries = ["a", os.urandom(3 * 1024 * 1024).hex(), "b", os.urandom(3 * 1024 * 1024).hex(), "c"]
    push(valkey, entries)
    dying = processes.start("bridge", document, deadly="headrace.bridge.publisher:_Sender.send#2")
    assert dying.process.wait(30) == -9
    delete_topic(pulsar, topic)
    create_topic(pulsar, topic)
    left = in_flight(valkey)
    processes.start("bridge", document)
    wait_until_moved(valkey)
    assert len(left) > 2
    assert payloads(pulsar, topic) == left


@pytest.mark.parametrize("gone", [True, False], ids=["the old one is gone", "the old one stands"])
def test_p1_p2_the_sink_becomes_another_topic_while_a_cut_is_in_flight(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str, gone: bool
) -> None:
    old = create_topic(pulsar, f"{topic}-old", 2)
    create_topic(pulsar, f"{old}-DLQ")
    create_topic(pulsar, topic)
    push(valkey, entries := [f"entry {number}" for number in range(20)])
    dying = processes.start("bridge", bridge(valkey, pulsar, old), deadly="headrace.bridge.cut:CutStore.next")
    assert dying.process.wait(30) == -9
    if gone:
        delete_topic(pulsar, old)
    processes.start("bridge", bridge(valkey, pulsar, topic))
    push(valkey, ["later"])
    wait_until_moved(valkey)
    assert payloads(pulsar, topic) == [*(entries if gone else []), "later"]
    assert gone or payloads(pulsar, old) == entries


def test_p5_p7_p8_a_dead_letter_topic_that_is_gone_holds_up_dead_letters_alone(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str
) -> None:
    create_topic(pulsar, topic)
    delete_topic(pulsar, f"{topic}-DLQ")
    running = processes.start("bridge", bridge(valkey, pulsar, topic, key="id"))
    told = (503, f"the dead-letter topic {topic}-DLQ does not exist\n")
    wait_for(lambda: running.get("/readyz") == told, "it tells")
    good = [json.dumps({"id": str(number)}) for number in range(20)]
    push(valkey, good)
    wait_until_moved(valkey)
    assert payloads(pulsar, topic) == good
    push(valkey, ["poison", '{"id": "behind"}'])
    wait_for(lambda: "TopicNotFound" in running.log(), "the letter waits")
    create_topic(pulsar, f"{topic}-DLQ", 2)
    wait_until_moved(valkey)
    wait_for(lambda: running.get("/readyz")[0] == 200, "it is ready")
    assert payloads(pulsar, topic) == [*good, '{"id": "behind"}']
    assert payloads(pulsar, f"{topic}-DLQ") == ["poison"]


@pytest.mark.parametrize("crash", [False, True], ids=["running", "killed"])
def test_p1_p2_letters_of_a_bridge_from_pulsar_follow_their_topic_when_it_is_made_anew(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, topic: str, crash: bool
) -> None:
    create_topic(pulsar, topic)
    letters = create_topic(pulsar, f"{topic}-shop-DLQ", 3)
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": "shop"}},
        "sink": {"valkey": {"celery": {"task": "shop.price", "queue": "tasks"}}},
        **connections(valkey, pulsar),
    }
    document = resource("PulsarBridge", "orders", spec)
    deadly = "headrace.bridge.cut:CutStore.next" if crash else None
    running = processes.start("bridge", document, deadly=deadly)
    poison = [f"no json {number}" for number in range(60)]
    if crash:
        wait_for(lambda: running.get("/metrics")[0] == 200, "it runs")
    else:
        running.wait_until_ready()
        delete_topic(pulsar, letters)
    publish(pulsar, topic, [text.encode() for text in poison])
    with valkey.client() as client:
        if crash:
            assert running.process.wait(30) == -9
            delete_topic(pulsar, letters)
        else:
            keys = [f"{PREFIX}:dead-letters", f"{PREFIX}:dead-letters:cut"]
            wait_for(lambda: sum(map(client.llen, keys)) == len(poison), "the letters wait or are in flight")
        create_topic(pulsar, letters)
        if crash:
            client.delete(f"{PREFIX}:dead-letters:lease")
            processes.start("bridge", document)
        wait_for(lambda: Counter(payloads(pulsar, letters)) == Counter(poison), "each letter arrives once", 60)
        wait_for(lambda: client.llen(f"{PREFIX}:dead-letters:cut") == 0, "they are committed")
