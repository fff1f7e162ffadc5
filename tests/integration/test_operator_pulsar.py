"""The operator and Pulsar: what it makes there, what it leaves alone, and what it says when it cannot."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pulsar as pulsar_client
import pytest

from testbed.loopback import free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.api_server import ApiServer
from tests.integration.operator_bed import (
    Kubernetes,
    OperatorProcess,
    at_rest,
    operator,
    wait_for,
    worker_spec,
)

OWNER = "PulsarBridge/operator-pulsar"


class Admin:
    """Pulsar's admin API, as another user of the cluster has it."""

    def __init__(self, broker: Pulsar) -> None:
        self._url = f"{broker.admin_url}/admin/v2"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; None for 404 and for an empty answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(error.read().decode()) from None
        return json.loads(text) if text else None

    def namespace(self, name: str) -> None:
        """Make a namespace, and its tenant."""
        tenant = name.partition("/")[0]
        if self.call("GET", f"/tenants/{tenant}") is None:
            self.call("PUT", f"/tenants/{tenant}", {"adminRoles": [], "allowedClusters": ["standalone"]})
        self.call("PUT", f"/namespaces/{name}", {})

    def topic(self, name: str, what: str = "") -> Any:
        """Something of a topic."""
        return self.call("GET", f"/persistent/{name.removeprefix('persistent://')}{what}")

    def put_topic(self, name: str, partitions: int = 0) -> None:
        """Make a topic."""
        path = f"/persistent/{name.removeprefix('persistent://')}"
        if partitions:
            self.call("PUT", f"{path}/partitions", partitions)
        else:
            self.call("PUT", path, {})


@pytest.fixture(scope="module")
def admin(pulsar: Pulsar) -> Admin:
    return Admin(pulsar)


@pytest.fixture(scope="module")
def kube(api_server: ApiServer) -> Kubernetes:
    made = Kubernetes(api_server.kubeconfig, "operator-pulsar")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def process(kube: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with operator(kube, tmp_path_factory.mktemp("operator") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def inward(pulsar: Pulsar, shared_valkey: Valkey) -> dict[str, Any]:
    """Spec of a bridge from Pulsar to Valkey; tests put their own topic in."""
    return {
        "source": {"pulsar": {"topic": "", "subscription": "s"}},
        "sink": {"valkey": {"list": {"key": "sunk"}}},
        **connections(pulsar, shared_valkey),
    }


@pytest.fixture
def outward(pulsar: Pulsar, shared_valkey: Valkey) -> dict[str, Any]:
    """Spec of a bridge from Valkey to Pulsar; tests put their own topic in."""
    return {
        "source": {"valkey": {"list": {"key": "source"}}},
        "sink": {"pulsar": {"topic": ""}},
        **connections(pulsar, shared_valkey),
    }


def connections(broker: Pulsar, server: Valkey) -> dict[str, Any]:
    """The two sides."""
    return {
        "valkey": {"url": server.url},
        "pulsar": {"serviceUrl": broker.service_url, "adminUrl": broker.admin_url},
    }


def test_a_bridge_makes_all_it_needs_and_counts_what_waits(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, pulsar: Pulsar, inward: dict[str, Any]
) -> None:
    events = "persistent://made/here/events"
    inward["source"]["pulsar"]["topic"] = events
    inward["namespaces"] = [{"name": "made/here"}]
    inward["topics"] = [{"name": events, "partitions": 3, "policies": {"messageTtlSeconds": 3600}}]
    kube.create("PulsarBridge", "maker", spec=inward)
    kube.ready("PulsarBridge", "maker", "maker-bridge")
    assert admin.topic(events, "/partitions")["partitions"] == 3
    assert admin.topic(events, "/subscriptions") == ["s"]
    assert admin.topic(events, "/messageTTL") == 3600
    assert admin.topic(f"{events}-s-DLQ", "/subscriptions") == ["headrace-dead-letters"]
    assert admin.topic(f"{events}-s-DLQ", "/deduplicationEnabled") is True
    assert admin.topic(events, "/properties")["headrace.owner"] == f"{OWNER}/maker"
    status = kube.get("PulsarBridge", "maker")["status"]
    assert status["topics"] == [
        {"name": events, "partitions": 3, "ownership": "Created"},
        {"name": f"{events}-s-DLQ", "partitions": 0, "ownership": "Created"},
    ]
    assert status["direction"] == "PulsarToValkey"
    assert [status[name] for name in ("backlog", "deadLetters", "consumers")] == [0, 0, 0]
    at_rest(kube, process)
    client = pulsar_client.Client(pulsar.service_url)
    producer = client.create_producer(events, batching_enabled=False)
    letters = client.create_producer(f"{events}-s-DLQ", batching_enabled=False)
    for number in range(7):
        producer.send(str(number).encode(), partition_key=str(number))
    letters.send(b"dead")
    client.close()
    wait_for("7 that wait", lambda: kube.get("PulsarBridge", "maker")["status"]["backlog"] == 7)
    wait_for("1 dead letter", lambda: kube.get("PulsarBridge", "maker")["status"]["deadLetters"] == 1)


def test_p8_bridges_that_give_messages_to_each_other_in_a_circle_are_told(
    kube: Kubernetes, process: OperatorProcess, inward: dict[str, Any], outward: dict[str, Any]
) -> None:
    ring = "persistent://ring/here/events"
    outward["namespaces"] = [{"name": "ring/here"}]
    outward["source"]["valkey"]["list"]["key"] = "ring"
    outward["sink"]["pulsar"]["topic"] = inward["source"]["pulsar"]["topic"] = ring
    inward["sink"]["valkey"]["list"]["key"] = "ring"
    kube.create("PulsarBridge", "ring-out", spec=outward)
    kube.ready("PulsarBridge", "ring-out", "ring-out-bridge")
    assert kube.condition("PulsarBridge", "ring-out", "MessagesEnd") is None
    kube.create("PulsarBridge", "ring-back", spec=inward)
    kube.ready("PulsarBridge", "ring-back", "ring-back-bridge")
    for name in ("ring-back", "ring-out"):  # the elder one hears of it at its next look
        kube.wait_for_condition("PulsarBridge", name, "False", "MessagesCircle", of="MessagesEnd")
    namespace = kube.namespace
    way = f"{namespace}/ring-back -> {namespace}/ring-out -> {namespace}/ring-back"
    assert way in kube.message("PulsarBridge", "ring-back", "MessagesEnd")
    at_rest(kube, process)
    kube.merge("PulsarBridge", "ring-back", {"spec": {"deduplicate": {"key": "id"}}})
    wait_for("an end", lambda: kube.condition("PulsarBridge", "ring-back", "MessagesEnd") is None)


def test_several_topics_and_those_of_a_pattern_are_counted_together(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, pulsar: Pulsar, inward: dict[str, Any]
) -> None:
    topics = ["persistent://many/here/a", "persistent://many/here/b"]
    inward["namespaces"] = [{"name": "many/here"}]
    inward["source"] = {"pulsar": {"topics": topics, "subscription": "s"}}
    kube.create("PulsarBridge", "several", spec=inward)
    inward["source"] = {"pulsar": {"topicsPattern": "persistent://many/here/.*", "subscription": "s"}}
    inward["deadLetter"] = {"topic": "persistent://many/here/dead"}
    kube.create("PulsarBridge", "matching", spec=inward)
    for name in ("several", "matching"):
        kube.ready("PulsarBridge", name, f"{name}-bridge")
    client = pulsar_client.Client(pulsar.service_url)
    for topic in topics:
        assert admin.topic(topic, "/subscriptions") == ["s"]
        client.create_producer(topic).send(b"{}")
    client.close()
    for name in ("several", "matching"):
        wait_for("2 that wait", lambda name=name: kube.get("PulsarBridge", name)["status"]["backlog"] == 2)  # type: ignore[misc]


def test_nothing_starts_before_its_namespace_is_there(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, inward: dict[str, Any]
) -> None:
    inward["source"]["pulsar"]["topic"] = "persistent://late/comer/events"
    kube.create("PulsarBridge", "homeless", spec=inward)
    kube.wait_for_condition("PulsarBridge", "homeless", "False", "NamespaceNotFound")
    assert kube.condition("PulsarBridge", "homeless", "TopicsReady") == ("False", "NamespaceNotFound")
    message = kube.message("PulsarBridge", "homeless")
    assert "late/comer" in message
    assert "create it, or list it under spec.namespaces" in message
    assert kube.get("Deployment", "homeless-bridge") is None
    admin.namespace("late/comer")
    kube.ready("PulsarBridge", "homeless", "homeless-bridge")


def test_p4_foreign_policies_stay_and_ours_go_when_unset(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, inward: dict[str, Any]
) -> None:
    topic = "persistent://policies/a/events"
    admin.namespace("policies/a")
    admin.put_topic(topic)
    path = f"/persistent/{topic.removeprefix('persistent://')}"
    admin.call("POST", f"{path}/maxConsumers", 5)
    admin.call("POST", f"{path}/retention", {"retentionTimeInMinutes": 7, "retentionSizeInMB": 1})
    wait_for("the foreign policies", lambda: admin.topic(topic, "/retention"))
    inward["source"]["pulsar"]["topic"] = topic
    declared = {"messageTtlSeconds": 60, "backlogQuota": {"limitBytes": 1_000_000}}
    inward["topics"] = [{"name": topic, "policies": declared}]
    kube.create("PulsarBridge", "policies", spec=inward)
    kube.ready("PulsarBridge", "policies", "policies-bridge")
    assert admin.topic(topic, "/messageTTL") == 60
    assert admin.topic(topic, "/backlogQuotaMap")["destination_storage"]["limitSize"] == 1_000_000
    kube.merge(
        "PulsarBridge", "policies", {"spec": {"topics": [{"name": topic, "policies": {"messageTtlSeconds": 90}}]}}
    )
    wait_for("the changed policy", lambda: admin.topic(topic, "/messageTTL") == 90)
    wait_for("the end of the quota", lambda: not admin.topic(topic, "/backlogQuotaMap"))
    kube.merge("PulsarBridge", "policies", {"spec": {"topics": None}})
    wait_for("the end of the other policy", lambda: admin.topic(topic, "/messageTTL") is None)
    kube.ready("PulsarBridge", "policies", "policies-bridge")
    assert admin.topic(topic, "/maxConsumers") == 5
    assert admin.topic(topic, "/retention")["retentionTimeInMinutes"] == 7
    assert json.loads(admin.topic(topic, "/properties")["headrace.policies"]) == {}


def test_p4_policies_go_from_a_topic_that_left_the_spec(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, inward: dict[str, Any]
) -> None:
    admin.namespace("left/a")
    extra = "persistent://left/a/extra"
    inward["source"]["pulsar"]["topic"] = "persistent://left/a/events"
    inward["topics"] = [{"name": extra, "policies": {"messageTtlSeconds": 60}}]
    kube.create("PulsarBridge", "leaver", spec=inward)
    kube.ready("PulsarBridge", "leaver", "leaver-bridge")
    assert admin.topic(extra, "/messageTTL") == 60
    kube.merge("PulsarBridge", "leaver", {"spec": {"topics": None}})
    wait_for("the end of the policy", lambda: admin.topic(extra, "/messageTTL") is None)
    assert admin.topic(extra, "/partitions") is not None
    wait_for(
        "the topic out of the status",
        lambda: extra not in [each["name"] for each in kube.get("PulsarBridge", "leaver")["status"]["topics"]],
    )


def test_a_sink_of_others_without_deduplication_is_refused_until_it_is_given_to_us(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, outward: dict[str, Any]
) -> None:
    sink = "persistent://sinks/a/theirs"
    admin.namespace("sinks/a")
    admin.put_topic(sink)
    outward["sink"]["pulsar"]["topic"] = sink
    kube.create("PulsarBridge", "sinker", spec=outward)
    kube.wait_for_condition("PulsarBridge", "sinker", "False", "DeduplicationDisabled")
    assert kube.condition("PulsarBridge", "sinker", "Stalled") == ("True", "DeduplicationDisabled")
    assert kube.get("Deployment", "sinker-bridge") is None
    assert admin.topic(sink, "/deduplicationEnabled") is None
    kube.merge("PulsarBridge", "sinker", {"spec": {"topics": [{"name": sink}]}})
    kube.ready("PulsarBridge", "sinker", "sinker-bridge")
    assert admin.topic(sink, "/deduplicationEnabled") is True


def test_partitions_grow_and_never_shrink(
    kube: Kubernetes, process: OperatorProcess, admin: Admin, inward: dict[str, Any]
) -> None:
    topic = "persistent://grows/a/events"
    admin.namespace("grows/a")
    admin.put_topic(topic, 2)
    inward["source"]["pulsar"]["topic"] = topic
    inward["topics"] = [{"name": topic, "partitions": 3}]
    kube.create("PulsarBridge", "grower", spec=inward)
    kube.ready("PulsarBridge", "grower", "grower-bridge")
    assert admin.topic(topic, "/partitions")["partitions"] == 3
    kube.merge("PulsarBridge", "grower", {"spec": {"topics": [{"name": topic, "partitions": 1}]}})
    kube.wait_for_condition("PulsarBridge", "grower", "False", "PartitionDecrease")
    assert "partitions: 3" in kube.message("PulsarBridge", "grower")
    assert kube.get("Deployment", "grower-bridge")["spec"]["replicas"] == 1
    kube.merge("PulsarBridge", "grower", {"spec": {"topics": None}})
    kube.ready("PulsarBridge", "grower", "grower-bridge")


def test_p5_p7_a_wrong_address_shows_and_harms_no_other(
    kube: Kubernetes,
    process: OperatorProcess,
    admin: Admin,
    pulsar: Pulsar,
    shared_valkey: Valkey,
    inward: dict[str, Any],
) -> None:
    admin.namespace("wrong/a")
    inward["source"]["pulsar"]["topic"] = "persistent://wrong/a/events"
    (nowhere,) = free_ports(1)
    addresses = {
        "nobody": {"adminUrl": f"http://127.0.0.1:{nowhere}", "serviceUrl": pulsar.service_url},
        "valkey-port": {"adminUrl": f"http://127.0.0.1:{shared_valkey.port}", "serviceUrl": pulsar.service_url},
        "no-host": {"adminUrl": "http://no-such-host.invalid:8080", "serviceUrl": pulsar.service_url},
    }
    for name, address in addresses.items():
        kube.create("PulsarBridge", name, spec={**inward, "pulsar": address})
    kube.create("ValkeyWorker", "misdialled", spec=worker_spec(f"valkey://127.0.0.1:{nowhere}/0"))
    for name in addresses:
        kube.wait_for_condition("PulsarBridge", name, "False", "PulsarUnreachable")
        assert kube.condition("PulsarBridge", name, "ConnectionsReady") == ("False", "PulsarUnreachable")
        assert kube.get("Deployment", f"{name}-bridge") is None
    kube.wait_for_condition("ValkeyWorker", "misdialled", "False", "ValkeyUnreachable")
    assert f"127.0.0.1:{nowhere}" in kube.message("ValkeyWorker", "misdialled")
    kube.create("PulsarBridge", "fine", spec=inward)
    kube.ready("PulsarBridge", "fine", "fine-bridge")
    at_rest(kube, process)
    assert process.running
    kube.merge("PulsarBridge", "nobody", {"spec": {"pulsar": {"adminUrl": pulsar.admin_url}}})
    kube.ready("PulsarBridge", "nobody", "nobody-bridge")
    for name in ("valkey-port", "no-host"):
        kube.delete("PulsarBridge", name)
    kube.delete("ValkeyWorker", "misdialled")


def test_p5_an_outage_keeps_what_runs_and_passes(
    kube: Kubernetes, process: OperatorProcess, valkey: Valkey, admin: Admin, outward: dict[str, Any]
) -> None:
    admin.namespace("outage/a")
    outward["sink"]["pulsar"]["topic"] = "persistent://outage/a/events"
    outward["valkey"] = {"url": valkey.url}
    kube.create("PulsarBridge", "survivor", spec=outward)
    kube.ready("PulsarBridge", "survivor", "survivor-bridge")
    deployment = kube.get("Deployment", "survivor-bridge")
    valkey.stop()
    kube.wait_for_condition("PulsarBridge", "survivor", "False", "ValkeyUnreachable")
    assert kube.condition("PulsarBridge", "survivor", "Available") == ("True", "Succeeded")
    assert kube.get("Deployment", "survivor-bridge") == deployment
    valkey.start()
    kube.wait_for_condition("PulsarBridge", "survivor", "True", "Succeeded", seconds=30)
    assert kube.get("Deployment", "survivor-bridge") == deployment


def test_a_pipeline_is_ready_when_its_stages_are(
    kube: Kubernetes, process: OperatorProcess, pulsar: Pulsar, shared_valkey: Valkey
) -> None:
    spec = {
        **connections(pulsar, shared_valkey),
        "namespaces": [{"name": "lines/a"}],
        "ingest": {"topic": "persistent://lines/a/events", "subscription": "pricing"},
        "process": {
            "task": "shop.tasks.price",
            "queue": "line",
            "worker": {"celery": {"app": "shop.tasks:app"}, "replicas": 2},
        },
        "results": {"topic": "persistent://lines/a/priced"},
    }
    kube.create("HybridPipeline", "line", spec=spec)
    deployments = ("line-ingest-bridge", "line-process-worker", "line-results-bridge")
    kube.ready("HybridPipeline", "line", *deployments)
    with shared_valkey.client() as client:
        client.lpush("line", "a", "b", "c")
    wait_for("the bottleneck", lambda: kube.get("HybridPipeline", "line")["status"].get("bottleneck") == "process")
    status = kube.get("HybridPipeline", "line")["status"]
    assert [stage["ready"] for stage in status["stages"]] == [True, True, True]
    assert status["backlog"] == 3
    at_rest(kube, process)
    kube.merge("HybridPipeline", "line", {"spec": {"suspend": True}})
    kube.wait_for_condition("HybridPipeline", "line", "True", "Suspended", deployments=deployments)
    assert [kube.get("Deployment", name)["spec"]["replicas"] for name in deployments] == [0, 0, 0]
    kube.delete("PulsarBridge", "line-ingest")
    wait_for("the ingest bridge again", lambda: kube.get("PulsarBridge", "line-ingest"))
