"""A Valkey Cluster is refused, by everything that connects to Valkey, with one reason, and nothing is written there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import kombu.exceptions
import pytest

import headrace.celery  # noqa: F401 - makes `valkey://` known
from headrace.process.configuration import Secrets
from headrace.process.valkey_server import ValkeyServer
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from headrace.reconcile.verdicts import ClusterUnsupportedError
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, connections, create_topic, publish, wait_for
from tests.integration.dataplane import resource as document
from tests.unit.reconcile.bodies import body, resource

SHOP = {"SHOP_VALKEY": "valkey://127.0.0.1:1/0"}
HANDLER = "tests.integration.shop_handlers:price"


SLOTS = ("all slots", "no slots")


@pytest.fixture(params=SLOTS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Valkey]:
    """A node of a Valkey Cluster: the only one, with all slots, or one that nobody gave any."""
    with Valkey(tmp_path / "valkey", cluster=True) as server:
        if request.param == "all slots":
            _give_slots(server)
        yield server


def _give_slots(server: Valkey) -> None:
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: client.cluster("INFO")["cluster_state"] == "ok", "the cluster")


def _entries(server: Valkey) -> int:
    with server.client() as client:
        return int(client.dbsize())


@pytest.mark.parametrize("database", [0, 1])
@pytest.mark.parametrize("kind", ["ValkeyWorker", "PulsarBridge"])
async def test_p8_the_operator_tells_a_cluster(node: Valkey, kind: str, database: int) -> None:
    with node.client() as client:
        client.execute_command("ACL SETUSER counter on >secret ~* &* +@all -info -cluster -hello")
    asked = resource(body(kind, valkey={"url": f"valkey://127.0.0.1:{node.port}/{database}"}))
    for login in (Credentials(), Credentials(valkey_username="counter", valkey_password="secret")):
        with pytest.raises(ClusterUnsupportedError, match=f"127.0.0.1:{node.port} is a node of a Valkey Cluster"):
            await ask_valkey(asked, login)


def test_p8_a_client_of_ours_sends_no_command_to_a_cluster(node: Valkey, tmp_path: Path) -> None:
    with node.client() as client:
        client.execute_command("ACL SETUSER limited on >secret ~* &* +@all -info -cluster -hello")
        calls = client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]
    secrets = Secrets(tmp_path)
    (tmp_path / "valkey").mkdir(exist_ok=True)
    for name, value in (("username", "limited"), ("password", "secret")):
        (tmp_path / "valkey").joinpath(name).write_text(value)
    spec: Any = resource(body("PulsarBridge", valkey={"url": node.url, "auth": {"secretRef": {"name": "x"}}})).spec
    ours: Any = ValkeyServer.of(spec.valkey, secrets).client()
    subscriber = ours.pubsub()
    pipeline = ours.pipeline().ping()
    for act in (ours.ping, lambda: ours.set("a", "b"), lambda: subscriber.subscribe("a"), pipeline.execute):
        with pytest.raises(Exception, match="is a node of a Valkey Cluster"):
            act()
    with node.client() as client:
        assert client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] == calls
    assert _entries(node) == 0


def _resources(valkey: Valkey, broker: Pulsar, name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """What runs against the Valkey, by its kind."""
    source, sink = (f"persistent://public/default/{name}-{part}" for part in ("source", "sink"))
    for each in (source, sink, f"{source}-{name}-DLQ", f"{sink}-DLQ"):
        create_topic(broker, each)
    publish(broker, source, [b'{"id": 1}'])
    brokers, worker = connections(valkey, broker), {"valkey": {"url": valkey.url}}
    from_topic = {"pulsar": {"topic": source, "subscription": name}}
    to_topic = {"source": {"valkey": {"list": {"key": "orders"}}}, "sink": {"pulsar": {"topic": sink}}}
    specs: dict[str, tuple[str, dict[str, Any]]] = {
        "inward": ("PulsarBridge", {"source": from_topic, "sink": {"valkey": {"list": {"key": "orders"}}}, **brokers}),
        "outward": ("PulsarBridge", {**to_topic, **brokers}),
        "channels": ("PulsarBridge", {**to_topic, "source": {"valkey": {"pubSub": {"channels": ["c"]}}}, **brokers}),
        "celery": ("ValkeyWorker", {"celery": {"app": "tests.integration.shop_tasks:app", "pool": "Solo"}, **worker}),
        "polling": (
            "ValkeyWorker",
            {"mode": "Polling", "polling": {"handler": HANDLER, "list": {"key": "jobs"}}, **worker},
        ),
        "stream": ("ValkeyWorker", {"mode": "Stream", "stream": {"handler": HANDLER, "key": "jobs"}, **worker}),
        "pubsub": ("ValkeyWorker", {"mode": "PubSub", "pubSub": {"handler": HANDLER, "channels": ["c"]}, **worker}),
    }
    commands = {"PulsarBridge": "bridge", "ValkeyWorker": "worker"}
    return {each: (commands[kind], document(kind, f"{name}-{each}", spec)) for each, (kind, spec) in specs.items()}


KINDS = ("inward", "outward", "channels", "celery", "polling", "stream", "pubsub")


def _refuses(one: Headrace) -> bool:
    status, page = one.get("/readyz")
    return status == 503 and "ClusterUnsupported" in page and "is a node of a Valkey Cluster" in one.log()


@pytest.mark.parametrize(("node", "kind"), list(zip(SLOTS * 4, KINDS, strict=False)), indirect=["node"])
def test_p5_p8_a_process_refuses_a_cluster_says_so_and_goes_on_when_it_is_none(
    node: Valkey, pulsar: Pulsar, processes: Processes, request: pytest.FixtureRequest, kind: str
) -> None:
    name = "".join(each for each in request.node.name.split("[")[1] if each.isalnum())
    command, written = _resources(node, pulsar, name)[kind]
    one = processes.start(command, written, environment=SHOP)
    wait_for(lambda: _refuses(one), "it refuses the cluster")
    assert _entries(node) == 0
    assert one.get("/livez")[0] == 200
    node.kill()
    node.cluster_port = None
    (node.directory / "nodes.conf").unlink()
    node.start()
    one.wait_until_ready(60)
    assert one.process.poll() is None


@pytest.mark.parametrize("kind", ["inward", "outward", "celery", "stream"])
def test_p5_p8_a_valkey_that_becomes_a_node_of_a_cluster_is_refused(
    valkey: Valkey, pulsar: Pulsar, processes: Processes, kind: str
) -> None:
    command, written = _resources(valkey, pulsar, f"becomes{kind}")[kind]
    one = processes.start(command, written, environment=SHOP).wait_until_ready(60)
    valkey.kill()
    with valkey.client() as client:
        for file in (valkey.directory / "appendonlydir").iterdir():
            file.unlink()
        valkey.cluster_port = valkey.port + 1 if valkey.port < 65535 else valkey.port - 1
        valkey.start()
        _give_slots(valkey)
        wait_for(lambda: _refuses(one), "it refuses the cluster")
        assert client.dbsize() == 0
    assert one.get("/livez")[0] == 200


def test_p8_a_celery_client_is_told(node: Valkey) -> None:
    url = f"valkey://127.0.0.1:{node.port}"
    app = celery.Celery(broker=f"{url}/0", backend=f"headrace.celery.results:Backend+{url}/1", set_as_current=False)
    app.conf.update(result_backend_always_retry=False, redis_retry_on_timeout=False)
    with pytest.raises(kombu.exceptions.OperationalError, match="is a node of a Valkey Cluster"):
        app.send_task("shop.price", ignore_result=True, retry=False)
    with pytest.raises(Exception, match="is a node of a Valkey Cluster"):
        app.backend.client.ping()
    assert _entries(node) == 0
