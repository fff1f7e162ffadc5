"""What a letter and its replay keep of a message, as clients in Java and Python make and read it."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.bridge import replay_dlq_messages
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_subscription,
    create_topic,
    keep_messages,
    producer,
    read_topic,
    resource,
    wait_for,
)
from tests.integration.java_client import JavaClient, encoded
from tests.integration.pulsar_schemas import enforce_schema

SUBSCRIPTION = "shop"
DEAD_LETTER_SUBSCRIPTION = "headrace-dead-letters"
RETRIED = {"maxAttempts": 3, "backoff": {"baseSeconds": 1, "factor": 1, "jitter": False}}


@pytest.fixture(scope="module")
def java(pulsar: Pulsar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaClient]:
    with JavaClient(pulsar, tmp_path_factory.mktemp("java")) as client:
        yield client


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    return new_topic(pulsar)


def new_topic(pulsar: Pulsar) -> str:
    name = create_topic(pulsar, f"persistent://public/default/original-{uuid.uuid4().hex[:8]}")
    create_subscription(pulsar, name, "java")
    keep_messages(pulsar, name)
    for suffix in ("RETRY", "DLQ"):
        create_topic(pulsar, f"{name}-{SUBSCRIPTION}-{suffix}")
    create_subscription(pulsar, dead_letters(name), DEAD_LETTER_SUBSCRIPTION)
    return name


def dead_letters(topic: str) -> str:
    return f"{topic}-{SUBSCRIPTION}-DLQ"


def bridge(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    """No message of these tests has a `missing`: each becomes a dead letter."""
    spec = {
        "source": {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}},
        "sink": {"valkey": {"list": {"key": "events"}}},
        "deduplicate": {"key": "missing"},
        **connections(valkey, pulsar),
        **changes,
    }
    return resource("PulsarBridge", "events", spec)


def bury(processes: Processes, valkey: Valkey, pulsar: Pulsar, topic: str, count: int) -> None:
    """Let a bridge make dead letters of the messages of a topic."""
    running = processes.start("bridge", bridge(valkey, pulsar, topic)).wait_until_ready()
    wait_for(lambda: len(read_topic(pulsar, dead_letters(topic))) == count, "all are dead letters", 60)
    assert running.stop() == 0


def replayed(processes: Processes, valkey: Valkey, pulsar: Pulsar, topic: str, target: str | None = None) -> None:
    """Let a bridge bring them back."""
    replay = {"id": uuid.uuid4().hex[:8], "from": "DeadLetter", **({"target": target} if target else {})}
    document = bridge(valkey, pulsar, topic, replay=replay)
    running = processes.start("bridge", document)

    def phase() -> bool:
        with valkey.client() as client:
            found = client.hgetall(f"headrace:{{test/events}}:replay:{replay['id']}")
        assert found.get("failed", "0") == "0", found
        return bool(found.get("phase") == "Completed")

    wait_for(phase, "the replay is done", 60)
    running.stop()


def original(message: dict[str, Any]) -> dict[str, Any]:
    """What is to be the same."""
    marks = ("HEADRACE_", "REAL_", "ORIGIN_", "RECONSUMETIMES", "DELAY_TIME")
    own = {name: value for name, value in message["properties"].items() if not name.startswith(marks)}
    return {**message, "properties": own, "id": "", "schemaVersion": "", "error": ""}


PLAIN: list[dict[str, Any]] = [
    {"value": encoded(b"{}"), "keyBytes": encoded(b"\x00\xff\xfe\x01"), "orderingKey": encoded(b"\xff\x80")},
    {"value": encoded(b"{}"), "key": "abcd", "eventTime": 5},
    {"value": encoded(b"{}"), "key": "YWJjZA==", "orderingKey": encoded(b"o"), "properties": {"é": "ü"}},
    {"value": encoded(b"{}"), "keyBytes": encoded(b"abc")},
    {"value": None, "key": "tombstone"},
    {"value": None, "keyBytes": encoded(b"tombs")},
    {"value": encoded(b""), "key": "empty"},
    {"value": encoded(b"\x00\xff")},
]


@pytest.mark.parametrize(("batched", "compression"), [(False, "NONE"), (True, "NONE"), (True, "LZ4"), (True, "ZSTD")])
def test_p1_keys_of_bytes_ordering_keys_and_null_values_are_in_the_letter_and_come_back(
    java: JavaClient,
    valkey: Valkey,
    pulsar: Pulsar,
    topic: str,
    processes: Processes,
    batched: bool,
    compression: str,
) -> None:
    java.produce(topic, PLAIN, batched=batched, compression=compression)
    expected = [original(each) for each in java.consume(topic, len(PLAIN))]
    assert [each["keyIsBytes"] for each in expected] == ["keyBytes" in each for each in PLAIN]
    bury(processes, valkey, pulsar, topic, len(PLAIN))
    letters = java.consume(dead_letters(topic), len(PLAIN))
    assert [original(each) for each in letters] == expected
    replayed(processes, valkey, pulsar, topic)
    assert [original(each) for each in java.consume(topic, len(PLAIN))] == expected


@pytest.mark.parametrize("compression", ["ZLIB", "SNAPPY"])
def test_p1_other_compressions_hide_no_key(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, compression: str
) -> None:
    many = [{**each, "properties": {"long": "ab" * 500}} for each in PLAIN] * 10
    java.produce(topic, many, compression=compression)
    expected = [original(each) for each in java.consume(topic, len(many))]
    bury(processes, valkey, pulsar, topic, len(many))
    assert [original(each) for each in java.consume(dead_letters(topic), len(many))] == expected


def test_p1_a_letter_in_chunks_keeps_its_key_of_bytes(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    message = {"value": encoded(b"x" * 5_200_000), "keyBytes": encoded(b"abc")}
    java.produce(topic, [message], batched=False)
    [expected] = map(original, java.consume(topic, 1))
    bury(processes, valkey, pulsar, topic, 1)
    assert [original(each) for each in java.consume(dead_letters(topic), 1)] == [expected]
    replayed(processes, valkey, pulsar, topic)
    assert [original(each) for each in java.consume(topic, 1)] == [expected]


def test_p1_the_function_brings_back_the_same_message(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    java.produce(topic, PLAIN)
    expected = [original(each) for each in java.consume(topic, len(PLAIN))]
    bury(processes, valkey, pulsar, topic, len(PLAIN))
    report = replay_dlq_messages(
        topic, dead_letters(topic), lambda letter: letter, service_url=pulsar.service_url, idle_seconds=2
    )
    assert (report.replayed, report.failed) == (len(PLAIN), 0)
    assert [original(each) for each in java.consume(topic, len(PLAIN))] == expected


def test_p1_a_retried_message_keeps_them_too(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    """The cache's key holds another type: each message is tried again, and at last a dead letter."""
    messages = [{**each, "value": encoded(b'{"id": 1}')} for each in PLAIN if each["value"]]
    with valkey.client() as client:
        client.hset("order:1", "taken", "by another")
    changes = {"deduplicate": None, "cache": {"key": "id", "prefix": "order:", "ttlSeconds": 60}, "retry": RETRIED}
    document = bridge(valkey, pulsar, topic, **changes)
    del document["spec"]["deduplicate"]
    java.produce(topic, messages)
    expected = [original(each) for each in java.consume(topic, len(messages))]
    processes.start("bridge", document).wait_until_ready()
    letters = java.consume(dead_letters(topic), len(messages), subscription="other")
    assert {each["properties"]["HEADRACE_ATTEMPTS"] for each in letters} == {"3"}

    def ordered(found: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(each, sort_keys=True) for each in found)

    assert ordered([original(each) for each in letters]) == ordered(expected)


texts = st.text(max_size=12)
keys: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    texts.filter(bool).map(lambda text: {"key": text}),
    st.binary(min_size=1, max_size=12).map(lambda data: {"key": base64.b64encode(data).decode()}),
    st.binary(min_size=1, max_size=12).map(lambda data: {"keyBytes": encoded(data)}),
)
rests = st.fixed_dictionaries(
    {"value": st.one_of(st.none(), st.binary(max_size=40).map(encoded))},
    optional={
        "orderingKey": st.binary(min_size=1, max_size=8).map(encoded),
        "eventTime": st.integers(1, 2**50),
        "properties": st.dictionaries(texts.filter(bool), texts, max_size=4),
    },
)
messages = st.builds(lambda key, rest: {**rest, **key}, keys, rests)


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(found=st.lists(messages, min_size=40, max_size=60), batched=st.booleans(), in_java=st.booleans())
def test_p1_letter_and_replay_give_back_any_message(
    java: JavaClient,
    valkey: Valkey,
    pulsar: Pulsar,
    processes: Processes,
    found: list[dict[str, Any]],
    batched: bool,
    in_java: bool,
) -> None:
    topic = new_topic(pulsar)
    if in_java:
        java.produce(topic, found, batched=batched)
    else:
        with producer(pulsar, topic, batched=batched) as sender:
            for each in found:
                sender.send_async(
                    base64.b64decode(each["value"] or ""),
                    lambda *_: None,
                    partition_key=each.get("key"),
                    properties=each.get("properties"),
                    event_timestamp=each.get("eventTime"),
                )
            sender.flush()
    expected = [original(each) for each in java.consume(topic, len(found))]
    assert len(expected) == len(found)
    bury(processes, valkey, pulsar, topic, len(found))
    with valkey.client() as client:
        client.flushall()
    replayed(processes, valkey, pulsar, topic)
    assert [original(each) for each in java.consume(topic, len(found))] == expected


ORDER = {"id": "a", "price": 3}


def values(found: list[dict[str, Any]]) -> list[Any]:
    return [each.get("value", each.get("error")) for each in found]


@pytest.mark.parametrize("batched", [False, True])
def test_p1_a_typed_consumer_reads_separated_keys_from_the_letters_and_after_the_replay(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, batched: bool
) -> None:
    pairs = [[{"region": "eu", "number": number}, {"id": f"o{number}", "price": number}] for number in range(3)]
    java.produce(topic, [{"value": pair, "orderingKey": encoded(b"o")} for pair in pairs], "separated", batched=batched)
    expected = [original(each) for each in java.consume(topic, 3, "separated")]
    assert values(expected) == pairs
    bury(processes, valkey, pulsar, topic, 3)
    letters = java.consume(dead_letters(topic), 3, "separated")
    assert [original(each) for each in letters] == expected
    replayed(processes, valkey, pulsar, topic)
    assert [original(each) for each in java.consume(topic, 3, "separated")] == expected


@pytest.mark.parametrize("kind", ["json", "avro"])
def test_p1_letters_of_two_schema_versions_are_read_by_either_and_come_back_under_their_own(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, kind: str
) -> None:
    java.produce(topic, [{"value": ORDER, "key": "first"}], kind)
    java.produce(topic, [{"value": {**ORDER, "note": "n"}, "key": "second"}], f"later-{kind}")
    java.produce(topic, [{"value": ORDER, "key": "third"}, {"value": None, "key": "fourth"}], kind)
    before = java.consume(topic, 4, f"later-{kind}")
    assert len({each["schemaVersion"] for each in before}) == 2
    bury(processes, valkey, pulsar, topic, 4)
    for schema in (kind, f"later-{kind}"):
        letters = java.consume(dead_letters(topic), 4, schema, subscription=schema)
        assert [each["key"] for each in letters if "error" not in each] == ["first", "second", "third", "fourth"]
    assert [original(each) for each in letters] == [original(each) for each in before]
    replayed(processes, valkey, pulsar, topic)
    after = java.consume(topic, 4, f"later-{kind}")
    assert [each["schemaVersion"] for each in after] == [each["schemaVersion"] for each in before]
    assert [original(each) for each in after] == [original(each) for each in before]


def test_p1_a_typed_consumer_reads_the_retry_topic(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    with valkey.client() as client:
        client.hset("order:a", "taken", "by another")
    changes = {"cache": {"key": "id", "prefix": "order:", "ttlSeconds": 60}, "retry": RETRIED}
    document = bridge(valkey, pulsar, topic, **changes)
    del document["spec"]["deduplicate"]
    java.produce(topic, [{"value": ORDER, "keyBytes": encoded(b"\xff\x00\x01")}], "json")
    [expected] = map(original, java.consume(topic, 1, "json"))
    processes.start("bridge", document).wait_until_ready()
    [letter] = java.consume(dead_letters(topic), 1, "json")
    assert (original(letter), letter["value"]) == (expected, ORDER)
    waiting = java.consume(f"{topic}-{SUBSCRIPTION}-RETRY", 2, "json", subscription="other")
    assert [original(each) for each in waiting] == [expected] * 2


def test_p1_a_letter_whose_schema_its_topic_does_not_take_holds_it_itself(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    java.produce(dead_letters(topic), [{"value": "of another schema"}], "string")
    java.produce(topic, [{"value": ORDER}], "json")
    [before] = java.consume(topic, 1, "json")
    bury(processes, valkey, pulsar, topic, 2)
    [letter] = java.consume(dead_letters(topic), 2, "string")[1:]
    assert "HEADRACE_SCHEMA" in letter["properties"]
    report = replay_dlq_messages(
        topic,
        dead_letters(topic),
        lambda letter: letter if "HEADRACE_REASON" in letter.properties() else None,
        service_url=pulsar.service_url,
        idle_seconds=2,
    )
    assert (report.replayed, report.failed) == (1, 0)
    [after] = java.consume(topic, 1, "json")
    assert (original(after), after["schemaVersion"]) == (original(before), before["schemaVersion"])
    elsewhere = new_topic(pulsar)
    java.produce(elsewhere, [{"value": "of another schema"}], "string")
    report = replay_dlq_messages(
        elsewhere,
        dead_letters(topic),
        lambda letter: letter if "HEADRACE_REASON" in letter.properties() else None,
        service_url=pulsar.service_url,
        subscription="again",
        idle_seconds=2,
    )
    assert (report.replayed, report.failed) == (0, 1)
    assert "does not take the schema that it was written by" in report.problem


def test_p1_topics_that_enforce_their_schemas_get_letters_and_replays(
    java: JavaClient, valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes
) -> None:
    java.produce(topic, [{"value": ORDER}], "avro")
    java.produce(topic, [{"value": encoded(b"bytes")}])
    before = java.consume(topic, 2)
    java.produce(dead_letters(topic), [], "avro")
    for each in (topic, dead_letters(topic)):
        enforce_schema(pulsar, each)
    bury(processes, valkey, pulsar, topic, 2)
    letters = java.consume(dead_letters(topic), 2, "avro", subscription="other")
    assert [original(each)["data"] for each in letters] == [each["data"] for each in before]
    assert values(letters)[0] == ORDER
    report = replay_dlq_messages(
        topic, dead_letters(topic), lambda letter: letter, service_url=pulsar.service_url, idle_seconds=2
    )
    assert (report.replayed, report.failed) == (1, 1)
    assert "takes no message without a schema" in report.problem
    [after] = java.consume(topic, 1, "avro")
    assert after["schemaVersion"] == before[0]["schemaVersion"]
    assert after["value"] == ORDER
