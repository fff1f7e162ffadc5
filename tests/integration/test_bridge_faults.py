"""What a bridge does when its brokers are away, its topics missing or its configuration wrong."""

import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import valkey as valkey_library

from testbed.loopback import free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Headrace,
    Processes,
    connections,
    create_topic,
    limit_backlog,
    payloads,
    publish,
    resource,
    skip_all,
    wait_for,
)

PASSWORD = "swordfish/with:odd@signs"
ROOT = "persistent://public/default"


def outward(valkey: Valkey, pulsar: Pulsar, topic: str, **changes: Any) -> dict[str, Any]:
    source = {"valkey": {"list": {"key": "orders"}}}
    spec = {"source": source, "sink": {"pulsar": {"topic": topic}}, **connections(valkey, pulsar), **changes}
    return resource("PulsarBridge", "out", spec)


def inward(valkey: Valkey, pulsar: Pulsar, topic: str) -> dict[str, Any]:
    source = {"pulsar": {"topic": topic, "subscription": "shop"}}
    spec = {"source": source, "sink": {"valkey": {"list": {"key": "arrived"}}}, **connections(valkey, pulsar)}
    return resource("PulsarBridge", "in", spec)


def loop_topics(pulsar: Pulsar) -> str:
    topic = create_topic(pulsar, f"{ROOT}/faults-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-DLQ")
    create_topic(pulsar, f"{topic}-shop-DLQ")
    return topic


class Traffic:
    """Pushes numbered entries to the list `orders` until it is stopped; a refused push is tried again."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._stop = threading.Event()
        self.sent: list[str] = []
        self.uncertain: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._valkey.client() as client:
            while not self._stop.wait(0.002):
                entry = f"entry {len(self.sent)}"
                while True:
                    try:
                        client.lpush("orders", entry)
                        break
                    except (valkey_library.ConnectionError, valkey_library.TimeoutError):
                        self.uncertain.add(entry)  # it may have been taken although the answer was lost
                        if self._stop.wait(0.05):
                            return
                self.sent.append(entry)


def arrived(valkey: Valkey) -> list[str]:
    with suppress(valkey_library.ConnectionError, valkey_library.TimeoutError), valkey.client() as client:
        found: list[str] = client.lrange("arrived", 0, -1)
        return found[::-1]
    return []


def wait_for_traffic(valkey: Valkey) -> None:
    before = len(arrived(valkey))
    wait_for(lambda: len(arrived(valkey)) > before + 200, "traffic flows")


def wait_until_cut_off(bridge: Headrace, side: str) -> None:
    """P5: it is not ready, says which side is away, and stays live."""
    wait_for(lambda: bridge.metric("headrace_bridge_connected", side=side) == 0, f"it misses {side}", 60)
    assert bridge.get("/readyz")[0] == 503
    assert bridge.get("/livez")[0] == 200


def wait_until_said(bridge: Headrace, text: str) -> None:
    wait_for(lambda: text in bridge.log(), f"it says: {text}", 60)


def assert_all_arrived(valkey: Valkey, traffic: Traffic) -> None:
    wait_for(lambda: set(arrived(valkey)) >= set(traffic.sent), "everything arrived", 90)
    counts = Counter(arrived(valkey))
    assert set(counts) - traffic.uncertain == set(traffic.sent) - traffic.uncertain
    assert [entry for entry, number in counts.items() if number > 1 and entry not in traffic.uncertain] == []


@pytest.fixture(scope="module")
def without_pulsar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Valkey, Headrace]]:
    """A bridge whose Pulsar nobody has ever seen. It notices after 15 s, during which other tests run."""
    directory = tmp_path_factory.mktemp("without-pulsar")
    [port] = free_ports(1)
    with Valkey(directory / "valkey") as valkey:
        spec = {
            "source": {"valkey": {"list": {"key": "orders"}}},
            "sink": {"pulsar": {"topic": f"{ROOT}/x"}},
            "valkey": {"url": valkey.url},
            "pulsar": {"serviceUrl": f"pulsar://127.0.0.1:{port}", "adminUrl": f"http://127.0.0.1:{port}"},
        }
        running = Headrace.start("bridge", resource("PulsarBridge", "out", spec), directory)
        yield valkey, running
        running.end()


@pytest.mark.usefixtures("without_pulsar")
def test_p1_p2_p5_valkey_killed_and_started_again_under_traffic(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    """There and back again, through both directions."""
    topic = loop_topics(pulsar)
    out = processes.start("bridge", outward(valkey, pulsar, topic)).wait_until_ready()
    back = processes.start("bridge", inward(valkey, pulsar, topic)).wait_until_ready()
    with Traffic(valkey) as traffic:
        for _ in range(2):
            wait_for_traffic(valkey)
            valkey.kill()
            for one in (out, back):
                wait_until_cut_off(one, "valkey")
            valkey.start()
            out.wait_until_ready()
            back.wait_until_ready()
    assert_all_arrived(valkey, traffic)
    assert Counter(payloads(pulsar, topic)).keys() >= set(traffic.sent)


def test_p1_p2_p5_pulsar_stopped_and_killed_under_traffic(
    valkey: Valkey, own_pulsar: Pulsar, processes: Processes
) -> None:
    topic = loop_topics(own_pulsar)
    guard = {"failureThreshold": 2, "openSeconds": 1}
    out = processes.start("bridge", outward(valkey, own_pulsar, topic, circuitBreaker=guard)).wait_until_ready()
    back = processes.start("bridge", inward(valkey, own_pulsar, topic)).wait_until_ready()
    with Traffic(valkey) as traffic:
        for end in (own_pulsar.stop, own_pulsar.kill):
            wait_for_traffic(valkey)
            end()
            for one in (out, back):
                wait_until_cut_off(one, "pulsar")
            own_pulsar.start()
            out.wait_until_ready(60)
            back.wait_until_ready(60)
    assert_all_arrived(valkey, traffic)
    assert out.metric("headrace_bridge_breaker_opened_total", destination=topic) >= 2
    assert out.metric("headrace_bridge_breaker_state", destination=topic) == 0
    assert Counter(payloads(own_pulsar, topic)).keys() == set(traffic.sent)
    assert max(Counter(payloads(own_pulsar, topic)).values()) == 1


def test_p2_sigterm_while_pulsar_is_away_ends_in_time(without_pulsar: tuple[Valkey, Headrace]) -> None:
    valkey, running = without_pulsar
    wait_for(lambda: "pulsar does not serve us" in running.log(), "it says so", 60)
    status, page = running.get("/readyz")
    assert status == 503
    assert "orders: pulsar: Unreachable: it does not answer" in page
    assert running.get("/livez")[0] == 200
    with valkey.client() as client:
        client.lpush("orders", "kept")
    assert running.stop() == 0
    with valkey.client() as client:
        assert client.lrange("orders", 0, -1) == ["kept"]


def test_a_missing_topic_or_namespace_is_waited_for(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = f"{ROOT}/later-{uuid.uuid4().hex[:8]}"
    running = processes.start("bridge", outward(valkey, pulsar, topic))
    other = processes.start("bridge", inward(valkey, pulsar, "persistent://public/nowhere/topic"))
    with valkey.client() as client:
        client.lpush("orders", "kept")
    for one in (running, other):
        wait_until_said(one, "does not serve us")
        assert one.get("/readyz")[0] == 503
        assert one.get("/livez")[0] == 200
    assert "TopicNotFound" in running.log()
    create_topic(pulsar, f"{topic}-DLQ")
    create_topic(pulsar, topic)
    wait_for(lambda: payloads(pulsar, topic) == ["kept"], "it goes on", 30)


def test_p6_p7_a_wrong_password_shows_and_is_not_logged(tmp_path: Path, pulsar: Pulsar, processes: Processes) -> None:
    topic = loop_topics(pulsar)
    with Valkey(tmp_path / "locked", password=PASSWORD) as locked:
        document = outward(locked, pulsar, topic)
        document["spec"]["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
        right = processes.start("bridge", document, secrets={"valkey/password": PASSWORD}).wait_until_ready()
        wrong = processes.start("bridge", document, secrets={"valkey/password": "wrong-password"})
        wait_for(lambda: "invalid username-password pair" in wrong.log(), "it says so")
        assert wrong.get("/readyz")[0] == 503
        assert wrong.get("/livez")[0] == 200
        with locked.client() as client:
            client.lpush("orders", "entry")
        wait_for(lambda: payloads(pulsar, topic) == ["entry"], "the right one works")
        for one, password in ((right, PASSWORD), (wrong, "wrong-password")):
            one.signal(signal.SIGTERM)
            assert one.process.wait(40) == 0
            assert password not in one.log()


def test_p1_a_full_valkey_is_emptied(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    """With `noeviction` a full Valkey refuses writes; those that move messages away it must take, or it stays full."""
    topic = loop_topics(pulsar)
    entries = [f"entry {number}" for number in range(5000)]
    with valkey.client() as client:
        client.lpush("orders", *entries)
        client.config_set("maxmemory", 1)
        with pytest.raises(valkey_library.ResponseError, match="maxmemory"):
            client.lpush("orders", "refused")
        processes.start("bridge", outward(valkey, pulsar, topic)).wait_until_ready()
        wait_for(lambda: client.llen("orders") + client.llen("headrace:{test/out}:cut") == 0, "it is emptied")
    assert payloads(pulsar, topic) == entries


@pytest.mark.parametrize("reason", ["ReadOnly", "DiskRefused"])
def test_p5_writes_that_valkey_refuses_are_told_and_tried_until_it_takes_them(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, reason: str
) -> None:
    topic = loop_topics(pulsar)
    running = processes.start("bridge", outward(valkey, pulsar, topic)).wait_until_ready()
    obstacle = valkey.directory / "dump.rdb"
    with valkey.client() as client:
        client.lpush("orders", "before")
        wait_for(lambda: payloads(pulsar, topic) == ["before"], "it works")
        if reason == "DiskRefused":
            (obstacle / "in the way").mkdir(parents=True)
            client.config_set("save", "3600 1000000")
            client.bgsave()
            wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot write its disk")
        else:
            client.replicaof("127.0.0.1", free_ports(1)[0])
        wait_for(
            lambda: running.metric("headrace_bridge_side_failures_total", side="valkey", reason=reason), "it counts"
        )
        wait_until_cut_off(running, "valkey")
        wait_for(lambda: f"orders: valkey does not serve us: {reason}" in running.log(), "it says so")
        if reason == "DiskRefused":
            client.config_set("save", "")
        else:
            client.replicaof("NO", "ONE")
        client.lpush("orders", "after")
    wait_for(lambda: payloads(pulsar, topic) == ["before", "after"], "it goes on by itself")
    wait_for(lambda: running.get("/readyz")[0] == 200, "it is ready again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auth": {"secretRef": {"name": "v"}}}, "secrets/valkey/password is missing: the Secret that"),
        ({"url": "valkey://user:pass@host:6379/0"}, "a URL must hold no user and no password"),
        ({"url": "valkey://host:99999"}, "url must read valkey://HOST:PORT/DATABASE"),
    ],
)
def test_a_configuration_that_cannot_work_ends_with_one_clear_sentence(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, change: dict[str, Any], message: str
) -> None:
    document = outward(valkey, pulsar, f"{ROOT}/any")
    document["spec"]["valkey"] |= change
    running = processes.start("bridge", document)
    assert running.process.wait(20) == 78
    assert message in running.termination()
    assert running.termination().count("\n") == 1
    assert "pass@" not in running.termination() + running.log()


def test_a_bridge_of_a_shared_topic_locks_nobody_out(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = loop_topics(pulsar)
    one, other = outward(valkey, pulsar, topic), outward(valkey, pulsar, topic)
    other["metadata"]["name"] = "other"
    other["spec"]["source"]["valkey"]["list"]["key"] = "others"
    processes.start("bridge", one).wait_until_ready()
    processes.start("bridge", other).wait_until_ready()
    expected = []
    with valkey.client() as client:
        for number in range(20):
            client.lpush("orders", f"a{number}", json.dumps(number))
            client.lpush("others", f"b{number}")
            expected += [f"a{number}", json.dumps(number), f"b{number}"]
    publish(pulsar, topic, [b"foreign"])
    wait_for(lambda: sorted(payloads(pulsar, topic)) == sorted([*expected, "foreign"]), "all three write")


def test_p1_p2_p5_a_topic_over_its_quota_holds_the_bridge_until_it_is_read(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = loop_topics(pulsar)
    limit_backlog(pulsar, topic, 50_000)
    document = outward(valkey, pulsar, topic)
    bridge = processes.start("bridge", document).wait_until_ready()
    held: list[str] = []
    with valkey.client() as client:

        def holds() -> bool:
            held.append(f"{len(held)} {'.' * 5000}")
            client.lpush("orders", held[-1])
            return int(client.llen("orders")) > 10

        wait_for(holds, "entries stay at the source", 60)
        wait_until_cut_off(bridge, "pulsar")
        bridge.kill()
        again = processes.start("bridge", document)
        wait_until_said(again, "BlockedQuotaExceeded")
        skip_all(pulsar, topic)
        wait_for(lambda: payloads(pulsar, topic) == held, "all of it once, in order", 60)
