"""An identity that can be had twice: resources of one namespace and name, in two clusters or one after the other."""

import json
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pulsar as pulsar_library
import pytest

from headrace.bridge.sharding import java_string_hash
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    connections,
    create_subscription,
    create_topic,
    payloads,
    producers,
    publish,
    resource,
    unload,
    use_name,
    wait_for,
)

PREFIX = "headrace:{test/orders}"
TWIN = "another resource of this namespace and name works with the same Valkey (uid "


def new_topic(pulsar: Pulsar, partitions: int = 0, *, deduplication: bool = True) -> str:
    name = f"persistent://public/default/twin-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-DLQ", deduplication=deduplication)
    return create_topic(pulsar, name, partitions, deduplication=deduplication)


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, uid: str = "1", **source: Any) -> dict[str, Any]:
    spec = {
        "source": {"valkey": {"list": {"key": "orders", **source}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
    }
    made = resource("PulsarBridge", "orders", spec)
    made["metadata"]["uid"] = uid
    return made


def push(valkey: Valkey, entries: list[str], key: str = "orders") -> None:
    with valkey.client() as client:
        client.lpush(key, *entries)


def wait_until_moved(valkey: Valkey) -> None:
    with valkey.client() as client:
        wait_for(lambda: client.llen("orders") + client.llen(f"{PREFIX}:cut") == 0, "everything is moved", 60)


def refused(process: Headrace, uid: str) -> bool:
    status, text = process.get("/readyz")
    return status == 503 and f"{TWIN}{uid}," in text


@pytest.mark.parametrize("shards", [0, 3], ids=["a list", "shards"])
def test_p2_p8_a_twin_of_another_cluster_on_the_same_valkey_moves_nothing_and_says_why(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, shards: int
) -> None:
    ours, theirs = new_topic(pulsar), new_topic(pulsar)
    source = {"shards": shards} if shards else {}
    keys = [f"orders:{number}" for number in range(shards)] or ["orders"]
    first = processes.start("bridge", bridge(valkey, pulsar, ours, "1", **source)).wait_until_ready()
    twin = processes.start("bridge", bridge(valkey, pulsar, theirs, "2", **source))
    wait_for(lambda: refused(twin, "1"), "the twin is told")
    assert twin.get("/livez")[0] == 200
    for key in keys:
        push(valkey, [f"{key} {number}" for number in range(500)], key)
    wait_for(lambda: len(payloads(pulsar, ours)) == 500 * len(keys), "the first one moves all of it")
    assert first.get("/readyz")[0] == 200
    assert payloads(pulsar, theirs) == []


def test_p1_p2_a_resource_that_was_made_anew_takes_over_what_was_in_flight(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = new_topic(pulsar, 2)
    entries = [f"entry {number}" for number in range(9000)]
    push(valkey, entries)
    old = processes.start(
        "bridge", bridge(valkey, pulsar, topic, "1"), deadly="headrace.bridge.publisher:Transmission.wait#2"
    )
    assert old.process.wait(30) == -9
    with valkey.client() as client:  # as if its pods still lived when the new ones start, however slow this machine is
        client.hset(f"{PREFIX}:identity", "held-until", int(client.time()[0] + 20) * 1000)
    anew = processes.start("bridge", bridge(valkey, pulsar, topic, "2"))
    wait_for(lambda: refused(anew, "1"), "it waits until the old one's pods are gone")
    wait_until_moved(valkey)
    assert sorted(payloads(pulsar, topic)) == sorted(entries)
    anew.wait_until_ready()
    again = processes.start("bridge", bridge(valkey, pulsar, topic, "1"))
    wait_for(lambda: refused(again, "2"), "the old one does not come back meanwhile")


def test_p1_p2_twins_with_a_valkey_each_write_to_one_topic_through_unloads(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, tmp_path: Path
) -> None:
    """Both have producers of their own names: the broker takes neither's messages for repetitions of the other's."""
    topic = new_topic(pulsar, 2)
    create_subscription(pulsar, topic, "keep")  # an unloaded topic loses what nobody subscribed to
    with Valkey(tmp_path / "other-cluster") as other:
        for server, uid in ((valkey, "1"), (other, "2")):
            processes.start("bridge", bridge(server, pulsar, topic, uid)).wait_until_ready()
        pushed: list[str] = []
        for turn in range(12):
            for name, server in (("one", valkey), ("other", other)):
                # one of them is far ahead of the other with its sequence ids
                entries = [f"{name} {turn} {number}" for number in range(300 if name == "one" else 20)]
                push(server, entries)
                pushed += entries
            for partition in range(2):
                unload(pulsar, f"{topic}-partition-{partition}")
        for server in (valkey, other):
            wait_until_moved(server)
    assert Counter(payloads(pulsar, topic)) == Counter(pushed)


def test_p1_p2_p8_a_copy_of_a_valkey_has_the_same_producers_and_loses_nothing(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, tmp_path: Path
) -> None:
    """Both halves of a failover go on, or a backup runs beside the original: the names are the same then."""
    topic = new_topic(pulsar)
    create_subscription(pulsar, topic, "keep")
    with Valkey(tmp_path / "copy") as copy:
        original = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
        with valkey.client() as client, copy.client() as other:
            other.hset(f"{PREFIX}:identity", mapping=client.hgetall(f"{PREFIX}:identity"))
        twin = processes.start("bridge", bridge(copy, pulsar, topic))
        wait_for(lambda: "ProducerBusy" in twin.log(), "the broker refuses its producer")
        assert twin.get("/readyz")[0] == 503
        pushed: list[str] = []
        for turn in range(8):
            for name, server in (("original", valkey), ("copy", copy)):
                entries = [f"{name} {turn} {number}" for number in range(100 if name == "original" else 10)]
                push(server, entries)
                pushed += entries
            unload(pulsar, topic)  # now and then the other one comes in
            time.sleep(1)
        # one after the other they get rid of the rest
        original.stop()
        wait_until_moved(copy)
        twin.stop()
        processes.start("bridge", bridge(valkey, pulsar, topic))
        wait_until_moved(valkey)
    assert Counter(payloads(pulsar, topic)) == Counter(pushed)


OLD_NAME = "headrace/PulsarBridge/test/orders"


def write_old_cut(valkey: Valkey, topic: str, entries: list[str], first: int) -> int:
    """A cut in flight as a version wrote it whose producers were named by the resource alone; returns its time."""
    routing = {
        "sink": {"topic": topic, "partitions": 2},
        "dead_letter": {"topic": f"{topic}-DLQ", "partitions": 0},
        "format": "Raw",
        "key": "id",
        "source": "PulsarBridge/test/orders",
        "limit_bytes": 5 * 1024 * 1024,
        "payload_field": None,
        "properties": {},
        "event_time": None,
        "chunking": False,
        "envelope": "Raw",
        "shard": None,
    }
    with valkey.client() as client:
        made = int(client.time()[0]) * 1000
        client.rpush(f"{PREFIX}:cut", *entries)
        client.rpush(f"{PREFIX}:cuts", f"{first} {len(entries)} {made} {json.dumps(routing)}")
        client.hset(f"{PREFIX}:cut-state", "last", first + len(entries) - 1)
    return made


def publish_old_frame(pulsar: Pulsar, topic: str, partition: int, entries: list[str], first: int, made: int) -> None:
    client = pulsar_library.Client(pulsar.service_url)
    try:
        sender = client.create_producer(
            f"{topic}-partition-{partition}",
            producer_name=OLD_NAME,
            batching_enabled=True,
            batching_max_publish_delay_ms=60_000,
        )
        pairs = [(sequence_id, entry) for sequence_id, entry in enumerate(entries, first)]
        frame = [pair for pair in pairs if java_string_hash(json.loads(pair[1])["id"]) % 2 == partition]
        for sequence_id, entry in frame:
            mark = {"HEADRACE_CUT": f"PulsarBridge/test/orders:{made}-{first}:{sequence_id}"}
            sender.send_async(
                entry.encode(),
                lambda *_: None,
                sequence_id=sequence_id,
                partition_key=json.loads(entry)["id"],
                properties=mark if sequence_id == frame[-1][0] else None,
            )
        sender.flush()
    finally:
        client.close()


@pytest.mark.parametrize("deduplication", [True, False], ids=["deduplication", "no deduplication"])
@pytest.mark.parametrize("landed", [[], [0], [0, 1]], ids=["nothing", "one partition", "everything"])
def test_p1_p2_cuts_in_flight_of_a_version_without_installations_arrive_once(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, landed: list[int], deduplication: bool
) -> None:
    topic = new_topic(pulsar, 2, deduplication=deduplication)
    entries = [json.dumps({"id": f"k{number}"}) for number in range(60)]
    made = write_old_cut(valkey, topic, entries[:30], 101)
    made = write_old_cut(valkey, topic, entries[30:], 131)
    for partition in landed:
        publish_old_frame(pulsar, topic, partition, entries[:30], 101, made)
        publish_old_frame(pulsar, topic, partition, entries[30:], 131, made)
    document = bridge(valkey, pulsar, topic)
    document["spec"]["sink"]["pulsar"]["key"] = "id"
    running = processes.start("bridge", document)
    wait_until_moved(valkey)
    assert sorted(payloads(pulsar, topic)) == sorted(entries)
    later = [json.dumps({"id": f"later {number}"}) for number in range(30)]
    push(valkey, later)
    wait_until_moved(valkey)
    assert sorted(payloads(pulsar, topic)) == sorted(entries + later)
    [name] = {name for partition in range(2) for name in producers(pulsar, f"{topic}-partition-{partition}")}
    assert name.startswith(f"{OLD_NAME}@")
    assert running.get("/readyz")[0] == 200


def test_p1_p2_ids_that_the_broker_knows_from_somebody_else_are_no_repetitions_while_running(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = new_topic(pulsar)
    create_subscription(pulsar, topic, "keep")
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    pushed = [f"entry {number}" for number in range(50)]
    push(valkey, pushed[:10])
    wait_until_moved(valkey)
    [name] = producers(pulsar, topic)
    for number in range(1, 5):
        use_name(pulsar, topic, name)
        push(valkey, pushed[10 * number : 10 * number + 10])
        wait_until_moved(valkey)
    assert [text for text in payloads(pulsar, topic) if text != "foreign"] == pushed
    assert running.get("/readyz")[0] == 200


@pytest.mark.parametrize(
    "point",
    ["headrace.bridge.cut:CutStore.next", "headrace.bridge.publisher:Transmission.wait"],
    ids=["not sent", "sent"],
)
def test_p1_p2_ids_that_the_broker_knows_from_somebody_else_are_no_repetitions_after_a_crash(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, point: str
) -> None:
    topic = new_topic(pulsar)
    create_subscription(pulsar, topic, "keep")
    publish(pulsar, topic, [b"foreign"])  # a topic with nothing older than the cut cannot tell what was in it
    document = bridge(valkey, pulsar, topic)
    pushed = [f"entry {number}" for number in range(50)]
    push(valkey, pushed)
    dying = processes.start("bridge", document, deadly=point)
    assert dying.process.wait(30) == -9
    with valkey.client() as client:
        name = client.hget(f"{PREFIX}:identity", "name")
    use_name(pulsar, topic, f"{OLD_NAME}@{name}")
    processes.start("bridge", document)
    wait_until_moved(valkey)
    assert sorted(payloads(pulsar, topic)) == sorted([*pushed, "foreign", "foreign"])


@pytest.mark.parametrize("kind", ["list", "stream", "stream with two groups"])
def test_p8_the_second_bridge_of_one_source_is_refused_and_says_whose_it_is(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, kind: str
) -> None:
    ours, theirs = new_topic(pulsar), new_topic(pulsar)
    one, other = bridge(valkey, pulsar, ours), bridge(valkey, pulsar, theirs, "2")
    other["metadata"]["name"] = "other"
    for number, document in enumerate((one, other)):
        if kind != "list":
            group = f"group {number}" if kind == "stream with two groups" else "group"
            document["spec"]["source"]["valkey"] = {"stream": {"key": "orders", "group": group, "payloadField": "p"}}
    first = processes.start("bridge", one).wait_until_ready()
    second = processes.start("bridge", other)
    pushed = [f"entry {number}" for number in range(100)]
    with valkey.client() as client:

        def push_all() -> None:
            for entry in pushed:
                client.lpush("orders", entry) if kind == "list" else client.xadd("orders", {"p": entry})

        if kind == "stream with two groups":
            second.wait_until_ready()
            push_all()
            wait_for(lambda: payloads(pulsar, theirs) == pushed, "each group reads all of it")
        else:
            told = "PulsarBridge/test/orders takes from orders too"
            wait_for(lambda: told in second.get("/readyz")[1], "the second one says it")
            push_all()
        wait_for(lambda: payloads(pulsar, ours) == pushed, "the first one moves all of it")
        if kind == "list":
            first.stop()
            wait_for(lambda: second.get("/readyz")[0] == 200, "when the first is gone the second takes over")
            push_all()
            wait_for(lambda: payloads(pulsar, theirs) == pushed, "it moves them")


def test_p8_without_the_right_to_claim_its_source_a_bridge_works_and_says_what_is_missing(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = new_topic(pulsar)
    with valkey.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "limited", "on", ">secret", "~orders", f"~{PREFIX}*", "&*", "+@all", "-@admin"
        )
    document = bridge(valkey, pulsar, topic)
    document["spec"]["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
    rights = {"valkey/username": "limited", "valkey/password": "secret"}
    running = processes.start("bridge", document, secrets=rights).wait_until_ready()
    push(valkey, ["entry"])
    wait_until_moved(valkey)
    assert payloads(pulsar, topic) == ["entry"]
    assert "no right to the key headrace:source:{orders}" in running.log()


def test_p5_a_bridge_and_a_worker_of_one_name_do_not_wait_for_each_other(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = new_topic(pulsar)
    spec = {
        "valkey": {"url": valkey.url},
        "mode": "PubSub",
        "pubSub": {"channels": ["news"], "handler": "tests.integration.shop_handlers:price"},
        "outbox": {"key": "outbox"},
    }
    worker = resource("ValkeyWorker", "orders", spec)
    processes.start("worker", worker, environment={"SHOP_VALKEY": valkey.url}).wait_until_ready()
    processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    push(valkey, ["entry"])
    wait_until_moved(valkey)
    assert payloads(pulsar, topic) == ["entry"]
    with valkey.client() as client:
        client.publish("news", json.dumps({"id": "a", "quantity": 1}))
        wait_for(lambda: client.llen("outbox") == 1, "the worker works too")
