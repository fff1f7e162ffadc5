"""Valkey refuses one command or one key, for a while or one message alone: nothing is written down as done before."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
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

SUBSCRIPTION = "shop"
USER = {"valkey/username": "bridge", "valkey/password": "secret"}
DEDUPLICATE = {"key": "id"}

SINKS: dict[str, tuple[dict[str, Any], str]] = {
    "list": ({"list": {"key": "target"}}, "lpush"),
    "stream": ({"stream": {"key": "target"}}, "xadd"),
    "hash": ({"hash": {"key": "target", "field": "id"}}, "hset"),
    "channel": ({"pubSub": {"channel": "target"}}, "publish"),
}


@pytest.fixture
def topic(pulsar: Pulsar) -> str:
    name = create_topic(pulsar, f"persistent://public/default/refusals-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{name}-{SUBSCRIPTION}-DLQ")
    return name


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Any]:
    """The administrator."""
    with valkey.client() as administrator:
        rights(administrator, "reset", "on", ">secret", "+@all", "~*", "&*")
        yield administrator


def rights(client: Any, *changes: str) -> None:
    """Change what the bridge may do in Valkey."""
    client.execute_command("ACL", "SETUSER", "bridge", *changes)


def inward(valkey: Valkey, pulsar: Pulsar, topic: str, sink: dict[str, Any], **changes: Any) -> dict[str, Any]:
    source = {"pulsar": {"topic": topic, "subscription": SUBSCRIPTION}}
    spec = {"source": source, "sink": {"valkey": sink}, **connections(valkey, pulsar), **changes}
    spec["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
    return resource("PulsarBridge", "refusals", spec)


def messages(first: int, last: int) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, last)]


def pushed(client: Any, sink: str) -> list[bytes]:
    """The payloads in the target, in their order."""
    if sink == "list":
        return [entry.encode() for entry in reversed(client.lrange("target", 0, -1))]
    if sink == "stream":
        return [fields["payload"].encode() for _, fields in client.xrange("target")]
    values = [value.encode() for value in client.hgetall("target").values()]
    return sorted(values, key=lambda text: int(json.loads(text)["id"]))


def heard(ear: Any) -> list[bytes]:
    """The publications so far."""
    found = []
    while (reply := ear.get_message(timeout=1)) is not None:
        if reply["type"] == "message":
            found.append(reply["data"].encode())
    return found


def wait_until_held(running: Headrace, *words: str) -> None:
    """Wait until the bridge says that it is not permitted something, with these words, and is not ready."""
    wait_for(lambda: all(word in running.log() for word in words), f"it says {words}")
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    series = "pulsar_consumer_failures_total"
    wait_for(lambda: running.metric(series, reason="NotPermitted") > 0, "it is counted")


@pytest.mark.parametrize("sink", list(SINKS))
def test_p1_a_right_that_comes_late_loses_no_message_to_the_deduplication(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, client: Any, sink: str
) -> None:
    spec, command = SINKS[sink]
    rights(client, "resetchannels" if sink == "channel" else f"-{command}")
    create_subscription(pulsar, topic, SUBSCRIPTION)
    with client.pubsub() as ear:
        ear.subscribe("target")
        running = processes.start("bridge", inward(valkey, pulsar, topic, spec, deduplicate=DEDUPLICATE), secrets=USER)
        publish(pulsar, topic, messages(0, 10))
        wait_until_held(running, "NotPermitted", *(["channel", "target"] if sink == "channel" else [command.upper()]))
        rights(client, "allchannels", f"+{command}")
        wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "everything is acknowledged", 40)
        running.wait_until_ready()
        assert (heard(ear) if sink == "channel" else pushed(client, sink)) == messages(0, 10)
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0
    assert payloads(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ") == []


@pytest.mark.parametrize("changes", [{}, {"deduplicate": DEDUPLICATE}], ids=["plain", "deduplicated"])
def test_p1_p2_p7_a_message_of_more_fields_than_a_script_can_write_is_one_dead_letter(
    valkey: Valkey, pulsar: Pulsar, topic: str, processes: Processes, client: Any, changes: Any
) -> None:
    create_subscription(pulsar, topic, SUBSCRIPTION)
    publish(pulsar, topic, messages(0, 100))
    many = {f"p{number}": "v" for number in range(4200)}
    publish(pulsar, topic, [b'{"id": 100}'], properties=many)
    publish(pulsar, topic, messages(101, 201))
    sink = SINKS["stream"][0]
    running = processes.start("bridge", inward(valkey, pulsar, topic, sink, **changes), secrets=USER)
    wait_for(lambda: backlog(pulsar, topic, SUBSCRIPTION) == 0, "everything is acknowledged", 40)
    assert pushed(client, "stream") == messages(0, 100) + messages(101, 201)
    assert running.metric("headrace_bridge_duplicates_dropped_total") == 0
    [letter] = wait_for(lambda: read_topic(pulsar, f"{topic}-{SUBSCRIPTION}-DLQ"), "the dead letter")
    assert (letter.data(), letter.properties()["HEADRACE_REASON"]) == (b'{"id": 100}', "TooManyFields")
    assert many.items() <= letter.properties().items()
    assert running.metric("headrace_bridge_dead_letters_total", reason="TooManyFields") == 1
