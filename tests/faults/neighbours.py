"""What others do beside a bridge while everything runs: who takes its messages, who publishes what it cannot read."""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pulsar

from headrace.bridge.subscription import INCOMPLETE_MESSAGES
from tests.faults.bed import Bed
from tests.faults.deaths import Strike
from tests.faults.network import PATIENCE_SECONDS
from tests.faults.scenario import LIST, Scenario
from tests.faults.telling import Fits, await_trouble
from tests.faults.to_pulsar import ListToPulsar, StreamToPulsar
from tests.faults.to_valkey import SUBSCRIPTION, PulsarToList, PulsarToStream
from tests.faults.traffic import TopicTraffic, key_of
from tests.integration.dataplane import wait_for
from tests.integration.raw_producer import RawProducer

STRANGER_SECONDS = (1.0, 3.0)
BITES = 5
"""How many messages a stranger takes at a time."""
PAUSE_SECONDS = 0.05
FLOW_SECONDS = 0.5
ENCRYPTED = 5
CHUNKED = INCOMPLETE_MESSAGES + 8
"""More at a time than the bridge's client puts together at first."""
CHUNK_PAUSE_SECONDS = 0.01
"""So that messages of others lie between chunks."""
MOVED_SECONDS = 60.0
MUTANT_SECONDS = 20.0
"""How long it may take to move what lies at the end."""
NUMBER_PROPERTY = "number"


def list_shared(bed: Bed) -> None:
    """Somebody else takes entries out of the source list."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client:
        for _ in _bites(bed):
            entries: Any = client.rpop(LIST, BITES)
            bed.scenario.ledger.taken |= {json.loads(entry)["id"] for entry in entries or ()}


def group_shared(bed: Bed) -> None:
    """Another consumer of the same group takes entries out of the source stream."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client:
        for _ in _bites(bed):
            answer: Any = client.xreadgroup("headrace", "stranger", {LIST: ">"}, count=BITES)
            for _, entries in answer or ():
                bed.scenario.ledger.taken |= {json.loads(fields["payload"])["id"] for _, fields in entries}
                client.xack(LIST, "headrace", *(identity for identity, _ in entries))


def sink_consumed(bed: Bed) -> None:
    """Somebody takes entries out of the list that the bridge writes, as its users do."""
    await_trouble(bed)
    scenario = bed.scenario
    assert isinstance(scenario, PulsarToList)
    with bed.servers.valkey.client() as client:
        for _ in _bites(bed):
            entries: Any = client.rpop(LIST, BITES)
            messages = [scenario.message(entry) for entry in entries or ()]
            scenario.ledger.earlier += [scenario.as_found(message) for message in messages]


def subscription_shared(bed: Bed) -> None:
    """Another consumer reads by the bridge's subscription for a while. What the bridge has not acknowledged when the
    other comes goes to both."""
    scenario = bed.scenario
    assert isinstance(scenario, PulsarToList)
    await_trouble(bed)
    with _client(bed) as client:
        consumer = client.subscribe(
            bed.servers.topic,
            SUBSCRIPTION,
            consumer_type=scenario.subscription_type,
            consumer_name="a stranger",
            initial_position=pulsar.InitialPosition.Earliest,
        )
        taken = 0
        for _ in _bites(bed):
            try:
                message = consumer.receive(500)
            except pulsar.Timeout:
                continue
            scenario.ledger.shared.add(json.loads(message.data())["id"])
            consumer.acknowledge(message)
            taken += 1
        consumer.close()
    bed.remark(f"{taken} taken")


def encrypted(bed: Bed) -> None:
    """Another producer of the source topic encrypts what it sends; each becomes a dead letter."""
    await_trouble(bed)
    _send_encrypted(bed)


def encrypted_at_the_end(bed: Bed) -> None:
    """The same, and nothing comes behind it by which it would be missed. It is moved, or told to be held."""
    await_trouble(bed)
    assert isinstance(bed.traffic, TopicTraffic)
    with bed.traffic.pause():
        wait_for(bed.scenario.drained, "all is read", PATIENCE_SECONDS)
        _send_encrypted(bed)
        moved = False
        with suppress(AssertionError):
            moved = wait_for(bed.scenario.drained, "all is moved", MUTANT_SECONDS if bed.mutant else MOVED_SECONDS)
        if not moved:
            ready = bed.bridge.get("/readyz")[0] == 200
            bed.untold += ready
            bed.remark("untold" if ready else "readyz")
    bed.flow(FLOW_SECONDS)


def _send_encrypted(bed: Bed) -> None:
    public, private = key_pair(bed.directory)
    with _client(bed) as client:
        producer = client.create_producer(
            bed.servers.topic, encryption_key="key", crypto_key_reader=pulsar.CryptoKeyReader(public, private)
        )
        for _ in range(ENCRYPTED):
            [number] = bed.scenario.ledger.expect(1)
            properties = {NUMBER_PROPERTY: str(number)}
            producer.send(_payload(number), partition_key=key_of(number), properties=properties)
            time.sleep(PAUSE_SECONDS)


def chunked(bed: Bed) -> None:
    """Other producers of the source topic send messages in chunks, more at once than the client puts together: first
    the first chunks of all, then the second ones."""
    await_trouble(bed)
    messages = {number: _payload(number) for number in bed.scenario.ledger.expect(CHUNKED)}
    with RawProducer(bed.servers.pulsar, f"{bed.servers.topic}-partition-0", f"chunks-{len(bed.story)}") as producer:
        for part, (number, content) in itertools.product(range(2), messages.items()):
            half = len(content) // 2
            piece = content[half:] if part else content[:half]
            producer.send_chunk(f"chunked-{number}", part, piece, of=2, size=len(content))
            time.sleep(CHUNK_PAUSE_SECONDS)
    if not bed.mutant:
        again = False
        with suppress(AssertionError):
            again = wait_for(lambda: "was not put together" in bed.bridge.log(), "it asks once more", MOVED_SECONDS)
        bed.remark("some at the second try" if again else "all at the first try")


def _payload(number: int) -> bytes:
    return json.dumps({"id": number, "key": f"n{number}"}).encode()


def _bites(bed: Bed) -> Iterator[None]:
    end = time.monotonic() + bed.chance.uniform(*STRANGER_SECONDS)
    while time.monotonic() < end:
        yield
        time.sleep(PAUSE_SECONDS)


@contextmanager
def _client(bed: Bed) -> Iterator[pulsar.Client]:
    logger = pulsar.FileLogger(pulsar.LoggerLevel.Error, str(bed.directory / "neighbour.log"))
    client = pulsar.Client(bed.servers.pulsar.service_url, logger=logger)
    try:
        yield client
    finally:
        client.close()


def key_pair(directory: Path) -> tuple[str, str]:
    """Files of a public and a private key, made when missing."""
    public, private = directory / "public.pem", directory / "private.pem"
    if not public.exists():
        subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return str(public), str(private)


def _list_source(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, ListToPulsar) and not issubclass(scenario, StreamToPulsar)


def _stream_source(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, StreamToPulsar)


def _list_sink(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, PulsarToList) and not issubclass(scenario, PulsarToStream)


def _source_topic(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, PulsarToList)


def _failover(scenario: type[Scenario]) -> bool:
    if not issubclass(scenario, PulsarToList) or issubclass(scenario, PulsarToStream):
        return False
    return scenario.subscription_type is pulsar.ConsumerType.Failover


NEIGHBOURS: dict[str, tuple[Strike, Fits]] = {
    "source list shared": (list_shared, _list_source),
    "group shared": (group_shared, _stream_source),
    "sink list consumed": (sink_consumed, _list_sink),
    "subscription shared": (subscription_shared, _source_topic),
    "encrypted neighbour": (encrypted, _source_topic),
    "encrypted neighbour at the end": (encrypted_at_the_end, _source_topic),
    "chunked neighbours": (chunked, _failover),
}
