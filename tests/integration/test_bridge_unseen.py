"""What the Pulsar client does not give out: nothing is acknowledged that was not seen, and all of it is told."""

import base64
import uuid
from typing import Any

import pulsar as pulsar_library
import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.integration.dataplane import (
    Headrace,
    Processes,
    backlog,
    connections,
    create_subscription,
    create_topic,
    expire,
    publish,
    read_topic,
    resource,
    skip,
    wait_for,
)
from tests.integration.encryption import encrypting
from tests.integration.raw_producer import RawProducer

LIST = "events"
SUBSCRIPTION = "shop"


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = f"persistent://public/default/unseen-{uuid.uuid4().hex[:8]}"
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    create_topic(pulsar, name)
    create_subscription(pulsar, name, SUBSCRIPTION)
    return name


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION, **changes.pop("source", {})}},
        "sink": {"valkey": {"list": {"key": LIST}}},
        "delivery": {"durability": "Memory"},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def entries(valkey: Valkey) -> list[str]:
    """What arrived, in the order of its arrival."""
    with valkey.client() as client:
        found: list[str] = client.lrange(LIST, 0, -1)
    return found[::-1]


def letters(pulsar: Pulsar, topic: str) -> list[pulsar_library.Message]:
    return read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ")


def wait_until_done(pulsar: Pulsar, topic: str, running: Headrace) -> None:
    """Nothing waits, and the bridge says that it is well."""
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "all is acknowledged", 60)
    running.wait_until_ready()


@pytest.mark.parametrize("batched", [False, True], ids=["one by one", "batched"])
def test_p1_encrypted_messages_become_dead_letters_and_their_neighbours_pass(
    valkey: Valkey,
    pulsar: Pulsar,
    topic: str,
    processes: Processes,
    keys: pulsar_library.CryptoKeyReader,
    batched: bool,
) -> None:
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    with encrypting(pulsar, topic, keys, batching_enabled=batched) as secret:
        for number in range(10):
            publish(pulsar, topic, [f"plain {2 * number}".encode()])
            secret.send(b"secret", properties={"tenant": "x"}, partition_key=f"k{number}")
            publish(pulsar, topic, [f"plain {2 * number + 1}".encode()])
    wait_for(lambda: len(entries(valkey)) == 20, "what is plain arrives", 60)
    wait_for(lambda: len(letters(pulsar, topic)) == 10, "what is encrypted becomes dead letters", 60)
    assert entries(valkey) == [f"plain {number}" for number in range(20)]
    found = letters(pulsar, topic)
    assert {letter.properties()["HEADRACE_REASON"] for letter in found} == {"Encrypted"}
    assert all(b"secret" not in letter.data() and len(letter.data()) > 6 for letter in found)
    assert b"ours" in base64.b64decode(found[0].properties()["HEADRACE_METADATA"])
    if not batched:
        assert [letter.partition_key() for letter in found] == [f"k{number}" for number in range(10)]
        assert found[0].properties()["tenant"] == "x"
    wait_until_done(pulsar, topic, running)
    assert running.metric("pulsar_consumer_failures_total", topic=topic, reason="Encrypted") == 10
    assert running.metric("headrace_bridge_dead_letters_total", reason="Encrypted") == 10


def test_p1_encrypted_messages_with_nothing_behind_them_are_dead_letters_too(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, keys: pulsar_library.CryptoKeyReader
) -> None:
    with encrypting(pulsar, topic, keys) as secret:
        for _ in range(5):
            secret.send(b"secret")
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for(lambda: len(letters(pulsar, topic)) == 5, "they become dead letters", 60)
    wait_until_done(pulsar, topic, running)


def test_p1_more_encrypted_messages_than_the_client_asks_for_do_not_stop_it(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, keys: pulsar_library.CryptoKeyReader
) -> None:
    document = bridge(valkey, pulsar, topic, source={"receiverQueueSize": 10})
    running = processes.start("bridge", document).wait_until_ready()
    with encrypting(pulsar, topic, keys) as secret:
        for _ in range(35):
            secret.send(b"secret")
    publish(pulsar, topic, [b"plain"])
    wait_for(lambda: len(letters(pulsar, topic)) == 35, "they become dead letters", 120)
    wait_for(lambda: entries(valkey) == ["plain"], "what is plain arrives", 60)
    wait_until_done(pulsar, topic, running)


def test_p1_what_cannot_be_uncompressed_becomes_a_dead_letter_of_its_bytes(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    with RawProducer(pulsar, topic, "raw") as producer:
        producer.send_undecompressible(b"first")
        producer.send(b"one")
        producer.send_undecompressible(b"in the middle")
        producer.send(b"two")
        producer.send_undecompressible(b"at the end")
    wait_for(lambda: len(letters(pulsar, topic)) == 3, "they become dead letters", 60)
    assert [letter.data() for letter in letters(pulsar, topic)] == [b"first", b"in the middle", b"at the end"]
    assert {letter.properties()["HEADRACE_REASON"] for letter in letters(pulsar, topic)} == {"Corrupt"}
    assert entries(valkey) == ["one", "two"]
    wait_until_done(pulsar, topic, running)


def send_interleaved(pulsar: Pulsar, topic: str, count: int) -> list[str]:
    """Publish the first chunks of *count* messages, then their second ones; returns the messages."""
    messages = [f"{number:03}-" * 4 for number in range(count)]
    with RawProducer(pulsar, topic, "raw") as producer:
        for part, number in ((part, number) for part in (0, 1) for number in range(count)):
            piece = messages[number][part * 8 : part * 8 + 8].encode()
            producer.send_chunk(f"u{number}", part, piece, of=2, size=16)
    return messages


@pytest.mark.parametrize("count", [12, 40], ids=["as many as the client puts together", "more"])
def test_p1_all_messages_arrive_whose_chunks_come_at_once(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, count: int
) -> None:
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    messages = send_interleaved(pulsar, topic, count)
    publish(pulsar, topic, [b"the end"])
    wait_for(lambda: len(entries(valkey)) == count + 1, "all arrive", 60)
    assert entries(valkey) == [*messages, "the end"]
    wait_until_done(pulsar, topic, running)
    assert letters(pulsar, topic) == []


def test_p1_a_message_in_chunks_is_whole_though_the_bridge_died_between_two_of_them(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    dying = processes.start("bridge", document).wait_until_ready()
    with RawProducer(pulsar, topic, "raw") as producer:
        producer.send_chunk("u", 0, b"begin ", of=2, size=9)
        publish(pulsar, topic, [b"one", b"two"])
        wait_for(lambda: entries(valkey) == ["one", "two"], "what is behind the first chunk arrives")
        dying.kill()
        again = processes.start("bridge", document).wait_until_ready()
        publish(pulsar, topic, [b"three"])
        wait_for(lambda: entries(valkey)[2:] == ["three"], "the next one arrives")
        again.kill()
        running = processes.start("bridge", document).wait_until_ready()
        producer.send_chunk("u", 1, b"end", of=2, size=9)
        wait_for(lambda: len(entries(valkey)) == 4, "the message in chunks arrives")
    assert entries(valkey) == ["one", "two", "three", "begin end"]
    wait_until_done(pulsar, topic, running)


def test_p1_a_message_whose_chunk_stands_twice_is_not_lost_in_silence(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    with RawProducer(pulsar, topic, "raw") as producer:
        for number, piece in ((0, b"begin "), (1, b"middle "), (1, b"middle "), (2, b"end")):
            producer.send_chunk("u", number, piece, of=3, size=16)
        producer.send(b"next")
    wait_for(lambda: entries(valkey) == ["next"], "the next one arrives", 60)
    wait_for(lambda: len(letters(pulsar, topic)) == 1, "it becomes a dead letter", 60)
    assert letters(pulsar, topic)[0].data() == b"begin middle end"
    assert letters(pulsar, topic)[0].properties()["HEADRACE_REASON"] == "BrokenChunks"
    wait_until_done(pulsar, topic, running)


def test_p1_while_nobody_says_what_it_is_everything_behind_it_waits_and_the_bridge_is_not_ready(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, keys: pulsar_library.CryptoKeyReader
) -> None:
    with Proxy(int(pulsar.admin_url.rpartition(":")[2])) as admin:
        document = bridge(valkey, pulsar, topic)
        document["spec"]["pulsar"]["adminUrl"] = f"http://127.0.0.1:{admin.port}"
        running = processes.start("bridge", document).wait_until_ready()
        publish(pulsar, topic, [b"one"])
        wait_for(lambda: entries(valkey) == ["one"], "the first one arrives")
        admin.stall()
        with encrypting(pulsar, topic, keys) as secret:
            secret.send(b"secret")
        publish(pulsar, topic, [b"two"])
        wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready", 40)
        assert "did not give out" in running.get("/readyz")[1]
        assert "is not known" in running.log()
        assert entries(valkey) == ["one"]
        admin.restore()
        wait_for(lambda: entries(valkey) == ["one", "two"], "the next one arrives", 60)
    wait_for(lambda: len(letters(pulsar, topic)) == 1, "the encrypted one is a dead letter")
    wait_until_done(pulsar, topic, running)


@pytest.mark.parametrize("count", [20, 250], ids=["few", "many"])
def test_p1_what_the_broker_took_away_before_it_was_read_is_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, count: int
) -> None:
    document = bridge(valkey, pulsar, topic)
    running = processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, [b"one"])
    wait_until_done(pulsar, topic, running)
    running.stop()
    publish(pulsar, topic, [b"gone"] * count + [b"two"], batched=False)
    skip(pulsar, topic, SUBSCRIPTION, count)
    running = processes.start("bridge", document).wait_until_ready()
    wait_for(lambda: entries(valkey) == ["one", "two"], "what was left arrives", 60)
    labels = {"topic": topic, "reason": "Skipped"}
    wait_for(lambda: running.metric("headrace_bridge_missed_total", **labels) == count, "it is told", 60)
    assert f"{count} entries were never read" in running.log()
    wait_until_done(pulsar, topic, running)


def expired(pulsar: Pulsar, topic: str) -> bool:
    """Try it once; whether nothing is left."""
    expire(pulsar, topic, SUBSCRIPTION)
    return backlog(pulsar, topic, SUBSCRIPTION) == 0


def test_p1_what_was_taken_away_at_the_end_is_told_too(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    document = bridge(valkey, pulsar, topic)
    running = processes.start("bridge", document).wait_until_ready()
    publish(pulsar, topic, [b"one"])
    wait_until_done(pulsar, topic, running)
    running.stop()
    publish(pulsar, topic, [b"gone"] * 20, batched=False)
    wait_for(lambda: expired(pulsar, topic), "all expire")
    running = processes.start("bridge", document).wait_until_ready()
    labels = {"topic": topic, "reason": "Expired"}
    wait_for(lambda: running.metric("headrace_bridge_missed_total", **labels) == 20, "it is told", 60)
    publish(pulsar, topic, [b"two"])
    wait_for(lambda: entries(valkey) == ["one", "two"], "the next one arrives")
    wait_until_done(pulsar, topic, running)
    assert running.metric("headrace_bridge_missed_total", topic=topic) == 20


@pytest.mark.parametrize("kind", ["Shared", "KeyShared"])
def test_p1_encrypted_messages_of_a_subscription_that_others_share_become_dead_letters_too(
    valkey: Valkey,
    pulsar: Pulsar,
    topic: str,
    processes: Processes,
    keys: pulsar_library.CryptoKeyReader,
    kind: str,
) -> None:
    document = bridge(valkey, pulsar, topic, source={"subscriptionType": kind, "receiverQueueSize": 10})
    running = processes.start("bridge", document).wait_until_ready()
    with encrypting(pulsar, topic, keys) as secret:
        for number in range(25):
            publish(pulsar, topic, [f"plain {number}".encode()])
            secret.send(b"secret")
    wait_for(lambda: len(letters(pulsar, topic)) == 25, "what is encrypted becomes dead letters", 120)
    wait_for(lambda: len(entries(valkey)) == 25, "what is plain arrives", 60)
    assert sorted(entries(valkey)) == sorted(f"plain {number}" for number in range(25))
    wait_until_done(pulsar, topic, running)
    assert running.metric("headrace_bridge_dead_letters_total", reason="Encrypted") == 25


@pytest.mark.parametrize("kind", ["Shared", "KeyShared"])
def test_p1_what_cannot_be_uncompressed_becomes_a_dead_letter_of_a_subscription_that_others_share_too(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str
) -> None:
    document = bridge(valkey, pulsar, topic, source={"subscriptionType": kind})
    running = processes.start("bridge", document).wait_until_ready()
    with RawProducer(pulsar, topic, "raw") as producer:
        producer.send(b"one")
        producer.send_undecompressible(b"first")
        producer.send(b"two")
        producer.send_undecompressible(b"at the end")
    wait_for(lambda: len(letters(pulsar, topic)) == 2, "they become dead letters", 60)
    assert sorted(letter.data() for letter in letters(pulsar, topic)) == [b"at the end", b"first"]
    assert {letter.properties()["HEADRACE_REASON"] for letter in letters(pulsar, topic)} == {"Corrupt"}
    assert {letter.properties()["REAL_TOPIC"] for letter in letters(pulsar, topic)} == {topic}
    wait_for(lambda: sorted(entries(valkey)) == ["one", "two"], "what is sound arrives")
    wait_until_done(pulsar, topic, running)
    assert running.metric("pulsar_consumer_failures_total", topic=topic, reason="Corrupt") == 2
