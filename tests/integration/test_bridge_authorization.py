"""A Pulsar that asks who comes: a role's permission is revoked under a bridge at work, and granted again."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulsar
import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, connections, resource, wait_for
from tests.integration.pulsar_tokens import guarded, token

ROLE = "bridge"
PERMISSION = f"/admin/v2/namespaces/public/default/permissions/{ROLE}"
TOPIC = "persistent://public/default/guarded"


class GuardedPulsar(Pulsar):
    """A broker that wants tokens, and permissions for all but the role `admin`."""

    def advertised(self) -> str:
        """The test bed's, and who may come."""
        return super().advertised() + guarded("admin")

    def admin(self, method: str, path: str, body: object = None) -> None:
        """Call the admin API as `admin`."""
        request = urllib.request.Request(
            self.admin_url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token('admin')}"},
        )
        urllib.request.urlopen(request, timeout=30).close()

    def _answers(self, path: str) -> bool:
        try:
            self.admin("GET", path)
        except OSError:
            return False
        return True

    def payloads(self, topic: str) -> list[bytes]:
        """What a topic holds."""
        client = pulsar.Client(
            self.service_url,
            pulsar.AuthenticationToken(token("admin")),
            logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error),
        )
        try:
            found, reader = [], client.create_reader(topic, pulsar.MessageId.earliest)
            while reader.has_message_available():
                found.append(reader.read_next(10_000).data())
            return found
        finally:
            client.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedPulsar]:
    with GuardedPulsar(tmp_path_factory.mktemp("pulsar")) as server:
        for topic in (TOPIC, f"{TOPIC}-DLQ", f"{TOPIC}-shop-DLQ"):
            server.admin("PUT", server_path(topic), {})
            server.admin("POST", f"{server_path(topic)}/deduplicationEnabled", True)
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "valkey") as server:
        yield server


def server_path(topic: str) -> str:
    return "/admin/v2/persistent/" + topic.removeprefix("persistent://")


def start(processes: Processes, name: str, valkey: Valkey, broker: Pulsar, spec: dict[str, Any]) -> Headrace:
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
