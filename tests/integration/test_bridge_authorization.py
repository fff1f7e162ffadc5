"""A Pulsar that asks who comes: a role's permission is revoked under a bridge at work, and granted again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, connections, resource, wait_for
from tests.integration.guarded_pulsar import GuardedPulsar, server_path
from tests.integration.pulsar_tokens import token

ROLE = "bridge"
PERMISSION = f"/admin/v2/namespaces/public/default/permissions/{ROLE}"
TOPIC = "persistent://public/default/guarded"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedPulsar]:
    with GuardedPulsar(tmp_path_factory.mktemp("pulsar")) as server:
        for topic in (TOPIC, f"{TOPIC}-DLQ", f"{TOPIC}-shop-DLQ"):
            server.create_topic(topic)
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "valkey") as server:
        yield server


def start(processes: Processes, name: str, valkey: Valkey, broker: GuardedPulsar, spec: dict[str, Any]) -> Headrace:
    brokers = connections(valkey, broker)
    brokers["pulsar"]["auth"] = {"tokenSecretRef": {"name": "pulsar", "key": "token"}}
    bridge = resource("PulsarBridge", name, {**spec, **brokers})
    return processes.start("bridge", bridge, secrets={"pulsar/token": token(ROLE)})


def await_refusal(bridge: Headrace) -> None:
    wait_for(lambda: bridge.get("/readyz")[0] == 503, "the bridge is not ready", 60)
    wait_for(lambda: "Authorization" in bridge.log(), "the log says why", 60)
    assert bridge.get("/livez")[0] == 200
    assert token(ROLE) not in bridge.log(), "P6"


def test_p1_p2_p5_a_permission_that_is_revoked_stops_both_ways_and_loses_nothing(
    valkey: Valkey, broker: GuardedPulsar, processes: Processes
) -> None:
    broker.admin("POST", PERMISSION, ["produce", "consume"])
    outward = {"source": {"valkey": {"list": {"key": "orders"}}}, "sink": {"pulsar": {"topic": TOPIC}}}
    inward = {
        "source": {"pulsar": {"topic": TOPIC, "subscription": "shop"}},
        "sink": {"valkey": {"list": {"key": "arrived"}}},
    }
    bridges = [start(processes, "out", valkey, broker, outward), start(processes, "in", valkey, broker, inward)]
    with valkey.client() as client:
        for bridge in bridges:
            bridge.wait_until_ready()
        client.lpush("orders", *range(100))
        wait_for(lambda: client.llen("arrived") == 100, "the first hundred have gone round", 60)

        broker.admin("DELETE", PERMISSION)
        for topic in (TOPIC, f"{TOPIC}-DLQ", f"{TOPIC}-shop-DLQ"):
            broker.admin("PUT", f"{server_path(topic)}/unload")  # the broker looks again only when somebody connects
        client.lpush("orders", *range(100, 200))
        for bridge in bridges:
            await_refusal(bridge)
        assert client.llen("arrived") == 100

        broker.admin("POST", PERMISSION, ["produce", "consume"])
        wait_for(lambda: client.llen("arrived") >= 200, "the second hundred have gone round", 90)
        for bridge in bridges:
            bridge.wait_until_ready()
        assert [int(entry) for entry in reversed(client.lrange("arrived", 0, -1))] == list(range(200))
    assert [int(payload) for payload in broker.payloads(TOPIC)] == list(range(200))
    assert broker.payloads(f"{TOPIC}-shop-DLQ") == broker.payloads(f"{TOPIC}-DLQ") == []
