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


def wait_until_passed(running: Headrace, counts: dict[str, int]) -> None:
    wait_for(lambda: {topic: passed(running, topic) for topic in counts} == counts, f"{counts} are passed over", 60)


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


def test_p1_two_patterns_over_each_other_s_retry_letters_end_too(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    stem = f"persistent://public/default/again-{uuid.uuid4().hex[:8]}"
    names = [f"{name}-{kind}" for name in "ab" for kind in ("dead", "retry")]
    topic, letters = (
        create_topic(pulsar, f"{stem}-in"),
        {name: create_topic(pulsar, f"{stem}-{name}") for name in names},
    )
    publish(pulsar, topic, [b'{"id": 1}'])
    with valkey.client() as client:
        client.lpush("cached:1", "no string")
    running = {}
    for name in "ab":
        document = bridge(valkey, pulsar, name, {"topicsPattern": f"{stem}-.*"}, letters[f"{name}-dead"])
        del document["spec"]["deduplicate"]
        document["spec"]["cache"] = {"key": "id", "prefix": "cached:", "ttlSeconds": 60}
        backoff = {"baseSeconds": 1, "capSeconds": 1}
        document["spec"]["retry"] = {"topic": letters[f"{name}-retry"], "maxAttempts": 3, "backoff": backoff}
        running[name] = processes.start("bridge", document).wait_until_ready()
    for name, other in ("ab", "ba"):
        wait_until_passed(running[name], {letters[f"{other}-dead"]: 1, letters[f"{other}-retry"]: 2})
        wait_until_read(pulsar, name, letters[f"{other}-dead"], letters[f"{other}-retry"])
    counts = {name: len(read_topic(pulsar, each)) for name, each in letters.items()}
    assert counts == {"a-dead": 1, "a-retry": 2, "b-dead": 1, "b-retry": 2}


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
