"""Readers of topics that hold more encrypted messages than a reader's queue: each goes on, or ends, and tells of it."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pulsar as pulsar_library
import pytest

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from headrace.bridge import replay_dlq_messages
from headrace.bridge.chunks import arrived
from headrace.bridge.incarnation import Incarnations, Verdict, Witness
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.second_reading import SecondReading
from headrace.bridge.tail import last_landed
from headrace.bridge.topic_reader import QUEUE_MESSAGES
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    backlog,
    connections,
    create_subscription,
    create_topic,
    payloads,
    publish,
    read_topic,
    resource,
    wait_for,
)
from tests.integration.encryption import encrypting, send_many
from tests.integration.raw_producer import RawProducer

MORE = QUEUE_MESSAGES + 100
"""More than a reader's queue holds."""


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    return create_topic(pulsar, f"persistent://public/default/unread-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def client(pulsar: Pulsar) -> Iterator[pulsar_library.Client]:
    logger = pulsar_library.ConsoleLogger(pulsar_library.LoggerLevel.Error)
    with closing(pulsar_library.Client(pulsar.service_url, logger=logger)) as connected:
        yield connected


def raw(pulsar: Pulsar) -> RawTopics:
    return RawTopics(pulsar.service_url)


def place(message: Any) -> tuple[int, int]:
    return message.message_id().ledger_id(), message.message_id().entry_id()


@pytest.mark.parametrize("batched", [False, True], ids=["one by one", "batched"])
def test_p2_what_landed_behind_encrypted_messages_is_found(
    pulsar: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, client: pulsar_library.Client, batched: bool
) -> None:
    since = int(time.time() * 1000)
    publish(pulsar, topic, [b"first"])
    send_many(pulsar, topic, keys, MORE, batched=batched)
    publish(pulsar, topic, [b"ours"], properties={"HEADRACE_CUT": "cut:7"})
    assert last_landed(client, topic, "cut", since, lambda: None, 7) == 7


def test_p1_what_lies_behind_encrypted_messages_is_read_again(
    pulsar: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, client: pulsar_library.Client
) -> None:
    publish(pulsar, topic, [b"first"])
    send_many(pulsar, topic, keys, 50)
    publish(pulsar, topic, [b"last"])
    first, last = read_with(client, topic)
    found = SecondReading(client, lambda: None).messages(topic, place(first), place(last))
    assert [message.data() for _, message in found] == [b"first", b"last"]


def test_p2_a_message_in_chunks_behind_encrypted_ones_has_arrived(
    pulsar: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, client: pulsar_library.Client
) -> None:
    publish(pulsar, topic, [b"first"])
    [first] = read_with(client, topic)
    send_many(pulsar, topic, keys, MORE)
    publish(pulsar, topic, [b"ours"], properties={"mark": "x"})
    assert arrived(client, topic, "mark", "x", place(first), (place(first)[0], 10**6))


def test_p7_encrypted_messages_around_the_witness_kill_nobody_and_it_is_known_again(
    pulsar: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, client: pulsar_library.Client
) -> None:
    with encrypting(pulsar, topic, keys, chunking_enabled=True) as secret:
        secret.send(b"x" * 12_000_000)
    publish(pulsar, topic, [b"witness"])
    [message] = read_with(client, topic)
    with encrypting(pulsar, topic, keys, chunking_enabled=True) as secret:
        secret.send(b"x" * 12_000_000)
        secret.send(b"last")
    looks = Incarnations(client, raw(pulsar), "shop")
    witness = Witness.of(message)
    assert looks.judge(topic, witness.position, witness) is Verdict.SAME
    # another topic, with an encrypted entry at that place
    encrypted = Witness((place(message)[0], place(message)[1] + 1, -1), "another", place(message))
    assert looks.judge(topic, encrypted.position, encrypted) is Verdict.OTHER
    # a subscription that begins behind an encrypted entry knows it again
    with raw(pulsar).reading(topic, place(message)) as reading:
        *_, last = reading.until((2**62, 0))
    begins = looks.last_of(topic, last.place)
    assert begins is not None
    assert looks.judge(topic, begins.position, begins) is Verdict.SAME


def read_with(client: pulsar_library.Client, topic: str) -> list[Any]:
    """What can be read in *topic*, however it ends."""
    options = {"crypto_failure_action": pulsar_library.ConsumerCryptoFailureAction.DISCARD}
    found = []
    with closing(client.create_reader(topic, pulsar_library.MessageId.earliest, **options)) as reader:
        while True:
            try:
                found.append(reader.read_next(timeout_millis=3000)._message)
            except pulsar_library.Timeout:
                return found


def run(valkey: Valkey) -> dict[str, str]:
    with valkey.client() as connection:
        found: dict[str, str] = connection.hgetall("headrace:{test/events}:replay:a")
    return found


def test_p1_p8_a_replay_of_a_topic_passes_encrypted_messages_and_tells_of_them(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, keys: pulsar_library.CryptoKeyReader
) -> None:
    create_topic(pulsar, f"{topic}-shop-DLQ")
    create_subscription(pulsar, topic, "shop")
    send_many(pulsar, topic, keys, 5)
    publish(pulsar, topic, [b"one"])
    send_many(pulsar, topic, keys, MORE)
    publish(pulsar, topic, [b"two"])
    send_many(pulsar, topic, keys, 3)
    with RawProducer(pulsar, topic, "raw") as producer:
        producer.send_undecompressible(b"broken")
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": "shop"}},
        "sink": {"valkey": {"list": {"key": "again"}}},
        **connections(valkey, pulsar),
        "replay": {"id": "a", "from": "Earliest"},
    }
    processes.start("bridge", resource("PulsarBridge", "events", spec)).wait_until_ready()
    wait_for(lambda: run(valkey).get("phase") == "Completed", "the replay ends", 120)
    assert (run(valkey)["replayed"], run(valkey)["failed"]) == ("2", str(MORE + 5 + 3 + 1))
    assert "the client library cannot read it" in run(valkey)["problem"]


def test_p1_p8_a_replay_of_dead_letters_passes_encrypted_ones_which_stay_and_are_told(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, keys: pulsar_library.CryptoKeyReader
) -> None:
    letters = create_topic(pulsar, f"{topic}-DLQ")
    create_subscription(pulsar, letters, DEAD_LETTER_SUBSCRIPTION)
    marks = {"HEADRACE_REASON": "Timeout", "HEADRACE_ATTEMPTS": "3"}
    publish(pulsar, letters, [b"1"], batched=False, properties=marks)
    send_many(pulsar, letters, keys, 450)
    publish(pulsar, letters, [b"2"], batched=False, properties=marks)
    spec = {
        "source": {"valkey": {"list": {"key": "orders"}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
        "replay": {"id": "a", "from": "DeadLetter"},
    }
    processes.start("bridge", resource("PulsarBridge", "events", spec)).wait_until_ready()
    wait_for(lambda: run(valkey).get("phase") == "Completed", "the replay ends", 120)
    assert sorted(payloads(pulsar, topic)) == ["1", "2"]
    assert (run(valkey)["replayed"], run(valkey)["failed"]) == ("2", "450")
    assert "it is encrypted" in run(valkey)["problem"]
    assert backlog(pulsar, letters, DEAD_LETTER_SUBSCRIPTION) == 450


def test_p1_p8_the_replay_function_passes_encrypted_letters_and_tells_of_those_at_the_end(
    pulsar: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, client: pulsar_library.Client
) -> None:
    letters = create_topic(pulsar, f"{topic}-DLQ")
    publish(pulsar, letters, [b"1"], batched=False)
    send_many(pulsar, letters, keys, 450)
    publish(pulsar, letters, [b"2"], batched=False)
    send_many(pulsar, letters, keys, 2)
    report = replay_dlq_messages(topic, letters, lambda letter: letter, client=client, idle_seconds=2)
    assert (report.matched, report.replayed, report.failed) == (2, 2, 0)
    assert "are encrypted or damaged" in report.problem
    assert [message.data() for message in read_topic(pulsar, topic)] == [b"1", b"2"]
