"""Letters that several bridges give to each other, with real brokers and real processes."""

import uuid
from typing import Any

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    backlog,
    connections,
    create_topic,
    publish,
    read_topic,
    resource,
    wait_for,
)

PASSED = "headrace_bridge_letters_passed_over_total"


def bridge(valkey: Valkey, pulsar: Pulsar, name: str, source: dict[str, Any], letters: str) -> dict[str, Any]:
    spec = {
        "source": {"pulsar": {"subscription": name, **source}},
        "sink": {"valkey": {"list": {"key": name}}},
        "deduplicate": {"key": "id"},
        "deadLetter": {"topic": letters},
        **connections(valkey, pulsar),
    }
    return resource("PulsarBridge", name, spec)


def wait_until_read(pulsar: Pulsar, subscription: str, *topics: str) -> None:
    wait_for(lambda: not any(backlog(pulsar, each, subscription) for each in topics), f"{subscription} read all", 60)


def passed(running: Headrace, topic: str) -> float:
    return running.metric(PASSED, topic=topic)


def test_p1_two_patterns_over_each_other_s_letters_write_one_letter_each(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    stem = f"persistent://public/default/loop-{uuid.uuid4().hex[:8]}"
    topic, letters = create_topic(pulsar, f"{stem}-in"), {name: create_topic(pulsar, f"{stem}-{name}") for name in "ab"}
    publish(pulsar, topic, [b"no json", b'{"id": 1}'])
    source = {"topicsPattern": f"{stem}-.*"}
    a, b = (
        processes.start("bridge", bridge(valkey, pulsar, name, source, letters[name])).wait_until_ready()
        for name in "ab"
    )
    wait_for(lambda: passed(a, letters["b"]) and passed(b, letters["a"]), "both pass over a letter", 60)
    wait_until_read(pulsar, "a", topic, letters["b"])
    wait_until_read(pulsar, "b", topic, letters["a"])
    assert {name: len(read_topic(pulsar, each)) for name, each in letters.items()} == {"a": 1, "b": 1}
    assert (passed(a, letters["b"]), passed(b, letters["a"])) == (1, 1)
    assert "passed over" in a.log()
    assert (a.get("/readyz")[0], b.get("/readyz")[0]) == (200, 200)
    with valkey.client() as client:
        assert [client.lrange(name, 0, -1) for name in "ab"] == [['{"id": 1}']] * 2


def test_p1_bridges_that_name_each_other_s_letters_end_after_four(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    stem = f"persistent://public/default/ring-{uuid.uuid4().hex[:8]}"
    here, there = create_topic(pulsar, f"{stem}-here"), create_topic(pulsar, f"{stem}-there")
    publish(pulsar, here, [b"no json"])
    a = processes.start("bridge", bridge(valkey, pulsar, "a", {"topic": here}, there)).wait_until_ready()
    processes.start("bridge", bridge(valkey, pulsar, "b", {"topic": there}, here)).wait_until_ready()
    wait_for(lambda: passed(a, here), "the fourth letter is passed over", 60)
    wait_until_read(pulsar, "a", here)
    wait_until_read(pulsar, "b", there)
    found = [each.data() for topic in (here, there) for each in read_topic(pulsar, topic)]
    assert found == [b"no json"] * 5  # itself and four letters
