"""Bad input ends in a clear message in the right place, loses nothing, and harms no other resource."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.manifests import VALKEY, list_to_pulsar, resource, worker


@pytest.fixture(autouse=True)
def neighbour(namespace: Cluster) -> Iterator[None]:
    """P7: a healthy bridge beside, which stays Ready throughout."""
    if not namespace.get("pbr", "neighbour"):
        namespace.apply(list_to_pulsar("neighbour"))
        namespace.wait_condition("pbr", "neighbour", "Ready")
    since = namespace.condition("pbr", "neighbour", "Ready")["lastTransitionTime"]
    yield
    ready = namespace.condition("pbr", "neighbour", "Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", since)


def test_p7_missing_secret_is_named_and_heals_when_it_appears(namespace: Cluster) -> None:
    namespace.apply(worker("keyless", valkey={**VALKEY, "auth": {"secretRef": {"name": "late"}}}))
    waiting = namespace.wait_condition("vkw", "keyless", "Ready", "False", "SecretNotFound")
    assert "late" in waiting["message"]
    assert not namespace.get("deployment", "keyless-worker")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "late"},
        "stringData": {"password": "wrong-pass"},
    }
    namespace.apply(secret)
    refused = namespace.wait_condition("vkw", "keyless", "ConnectionsReady", "False", "AuthenticationFailed")
    assert "wrong-pass" not in json.dumps(namespace.get("vkw", "keyless")) + refused["message"], "P6"
    namespace.delete("vkw", "keyless")
    namespace.delete("secret", "late")


def test_p5_wrong_port_shows_in_the_condition(namespace: Cluster) -> None:
    namespace.apply(worker("misdialled", valkey={"url": "valkey://valkey:6380/0"}))
    refused = namespace.wait_condition("vkw", "misdialled", "ConnectionsReady", "False", "ValkeyUnreachable")
    assert "valkey:6380" in refused["message"]
    events = namespace.kubectl("get", "events", "--field-selector", "involvedObject.name=misdialled")
    assert "ValkeyUnreachable" in events
    namespace.delete("vkw", "misdialled")


def test_topic_in_a_missing_namespace_says_what_to_write(namespace: Cluster) -> None:
    namespace.apply(list_to_pulsar("homeless", namespaces=[]))
    missing = namespace.wait_condition("pbr", "homeless", "TopicsReady", "False", "NamespaceNotFound")
    assert "e2e/homeless" in missing["message"]
    assert "spec.namespaces" in missing["message"]
    namespace.push("homeless", [{"kept": True}])
    namespace.apply(list_to_pulsar("homeless"))
    namespace.wait_condition("pbr", "homeless", "Ready")
    wait_until(lambda: namespace.read("persistent://e2e/homeless/events"), "the entry that waited")
    namespace.delete("pbr", "homeless")


def test_task_that_the_app_lacks_is_named_in_the_condition(namespace: Cluster) -> None:
    outbox = {"key": "misnamed-outbox", "tasks": ["orders.nope"]}
    namespace.apply(worker("misnamed", outbox=outbox))
    failing = namespace.wait_condition("vkw", "misnamed", "WorkloadReady", "False", "PodsFailing")
    assert "orders.nope" in failing["message"]
    assert "orders.price" in failing["message"]
    namespace.delete("vkw", "misnamed")


def test_message_for_an_unknown_task_becomes_a_dead_letter(namespace: Cluster) -> None:
    namespace.apply(worker("unknown", deadLetter={"key": "unknown-dead"}))
    namespace.wait_condition("vkw", "unknown", "Ready")
    message = {
        "body": "[[],{},{}]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "orders.missing", "id": "1"},
        "properties": {"delivery_tag": "1", "delivery_info": {"exchange": "", "routing_key": "unknown"}},
    }
    namespace.push("unknown", [message])
    wait_until(lambda: namespace.valkey("LLEN", "unknown-dead") == 1, "the dead letter")
    dead = json.loads(namespace.valkey("LINDEX", "unknown-dead", "0"))
    assert dead["reason"] == "TaskNotFound"
    wait_until(lambda: namespace.get("vkw", "unknown")["status"].get("deadLetters") == 1, "it is counted")
    namespace.delete("vkw", "unknown")


def test_p1_entry_that_the_broker_does_not_take_becomes_a_dead_letter(namespace: Cluster) -> None:
    namespace.apply(list_to_pulsar("large"))
    namespace.wait_condition("pbr", "large", "Ready")
    namespace.push("large", [{"before": True}])
    namespace.toolbox("push-large", "large", str(6 * 1024 * 1024))
    namespace.push("large", [{"after": True}])
    topic = "persistent://e2e/large/events"
    wait_until(lambda: len(namespace.read(topic)) == 2, "the entries around the large one")
    (dead,) = wait_until(lambda: namespace.read(f"{topic}-DLQ"), "the dead letter")
    assert dead["properties"]["HEADRACE_REASON"] == "MessageTooLarge"
    assert dead["payload"] == f"{6 * 1024 * 1024} bytes"
    namespace.delete("pbr", "large")


def test_foreign_object_of_a_childs_name_is_left_alone(namespace: Cluster) -> None:
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken-worker"}, "data": {"mine": "yes"}}
    namespace.apply(mine)
    namespace.apply(worker("taken"))
    conflict = namespace.wait_condition("vkw", "taken", "Ready", "False", "NameConflict")
    assert "taken-worker" in conflict["message"]
    assert namespace.get("configmap", "taken-worker")["data"] == {"mine": "yes"}
    namespace.delete("vkw", "taken")
    namespace.delete("configmap", "taken-worker")


def test_image_that_cannot_be_pulled_shows_in_the_condition(namespace: Cluster) -> None:
    namespace.apply(worker("imageless", pod={"image": "localhost/not-there:1"}))
    failing = namespace.wait_condition("vkw", "imageless", "WorkloadReady", "False", "PodsFailing")
    assert "localhost/not-there:1" in failing["message"]
    namespace.delete("vkw", "imageless")


def test_rollout_event_names_the_field_that_caused_it(namespace: Cluster) -> None:
    namespace.apply(worker("rolling"))
    namespace.wait_condition("vkw", "rolling", "Ready")
    namespace.apply(
        worker("rolling", replicas=1, pod={**worker("x")["spec"]["pod"], "env": [{"name": "A", "value": "b"}]})
    )
    look = ("get", "events", "--field-selector", "involvedObject.name=rolling")
    wait_until(lambda: "env" in namespace.kubectl(*look), "the event")
    namespace.delete("vkw", "rolling")


def test_argo_style_apply_finds_no_difference_after_reconcile(namespace: Cluster) -> None:
    """P4: spec is never written by us, so a second server-side apply by a deliverer meets no conflict."""
    manifest = json.dumps(resource("ValkeyWorker", "delivered", worker("delivered")["spec"]))
    deliver = ("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
    namespace.kubectl(*deliver, input=manifest)
    namespace.wait_condition("vkw", "delivered", "Ready")
    generation = namespace.get("vkw", "delivered")["metadata"]["generation"]
    namespace.kubectl(*deliver, input=manifest)
    assert namespace.get("vkw", "delivered")["metadata"]["generation"] == generation
    namespace.delete("vkw", "delivered")
