"""The CRDs on a real API server: what is taken, what is refused, and with which words."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from headrace.api.crd import KINDS
from headrace.api.resource import API_VERSION, InvalidResourceError, parse
from testbed.cluster import CommandError
from testbed.environment import Environment
from tests.contract.circular import CIRCULAR
from tests.contract.refusals import BRIDGE, PIPELINE, REFUSED, SPECS, WORKER, Change, body


def refusal(kubernetes_api: Environment, *command: str, input: str) -> str:  # noqa: A002 (as in subprocess)
    """What the API server says when it refuses a command."""
    with pytest.raises(CommandError) as caught:
        kubernetes_api.kubectl(*command, input=input)
    return str(caught.value)


@pytest.mark.parametrize("kind", SPECS)
def test_minimal_resource_is_taken_as_it_is(kubernetes_api: Environment, kind: str) -> None:
    """P4: the API server adds nothing to a spec but `replicas`, which the scale subresource needs."""
    taken = json.loads(
        kubernetes_api.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(body(kind, SPECS[kind]))
        )
    )
    expected = copy.deepcopy(SPECS[kind])
    if kind != "HybridPipeline":
        expected["replicas"] = 1
    assert taken["spec"] == expected


@pytest.mark.parametrize(
    ("kind", "change", "message", "in_memory"),
    [*REFUSED, *CIRCULAR],
    ids=[f"{entry[0]}-{entry[2][:40]}" for entry in [*REFUSED, *CIRCULAR]],
)
def test_bad_spec_is_refused_with_what_to_write(
    kubernetes_api: Environment, kind: str, change: Change, message: str, in_memory: str | None
) -> None:
    resource = body(kind, SPECS[kind])
    change(resource["spec"])
    refused = refusal(kubernetes_api, "create", "--dry-run=server", "-f", "-", input=json.dumps(resource))
    assert message in refused
    model = next(model for model in KINDS if model.__name__ == kind)
    with pytest.raises(InvalidResourceError) as caught:
        parse(model, resource)
    wanted = in_memory or ("unknown field" if "unknown field" in message else message)
    assert wanted in str(caught.value)
    assert "secret" not in str(caught.value).replace("Secret", ""), "P6: the input value stays out of messages"


def test_direction_of_a_bridge_cannot_change(kubernetes_api: Environment) -> None:
    kubernetes_api.kubectl("apply", "-f", "-", input=json.dumps(body("PulsarBridge", BRIDGE, "direction")))
    other = copy.deepcopy(BRIDGE)
    other["source"] = {"valkey": {"list": {"key": "orders"}}}
    other["sink"] = {"pulsar": {"topic": "persistent://shop/orders/events"}}
    refused = refusal(kubernetes_api, "apply", "-f", "-", input=json.dumps(body("PulsarBridge", other, "direction")))
    assert "the direction of a bridge cannot change" in refused


def test_a_spread_subscription_cannot_become_an_ordered_one(kubernetes_api: Environment) -> None:
    bridge = copy.deepcopy(BRIDGE)
    for kind in ("Failover", "Shared", "KeyShared"):
        bridge["source"]["pulsar"]["subscriptionType"] = kind
        kubernetes_api.kubectl("apply", "-f", "-", input=json.dumps(body("PulsarBridge", bridge, "kinds")))
    del bridge["source"]["pulsar"]["subscriptionType"]
    refused = refusal(kubernetes_api, "replace", "-f", "-", input=json.dumps(body("PulsarBridge", bridge, "kinds")))
    assert "subscriptionType cannot change back to Failover" in refused


def test_a_list_cannot_become_a_stream(kubernetes_api: Environment) -> None:
    bridge = copy.deepcopy(BRIDGE)
    bridge["source"] = {"valkey": {"list": {"key": "orders"}}}
    bridge["sink"] = {"pulsar": {"topic": "persistent://shop/orders/events"}}
    for unwanted in ("deduplicate", "cache"):
        bridge.pop(unwanted, None)
    kubernetes_api.kubectl("apply", "-f", "-", input=json.dumps(body("PulsarBridge", bridge, "source")))
    bridge["source"]["valkey"] = {"list": None, "stream": {"key": "orders"}}
    refused = refusal(kubernetes_api, "apply", "-f", "-", input=json.dumps(body("PulsarBridge", bridge, "source")))
    assert "a bridge cannot change between list, stream and pubSub" in refused


def test_shards_can_grow_and_never_shrink(kubernetes_api: Environment) -> None:
    bridge = copy.deepcopy(BRIDGE)
    bridge["sink"] = {"pulsar": {"topic": "persistent://shop/orders/events"}}

    def shards(number: int | None) -> str:
        bridge["source"] = {"pulsar": None, "valkey": {"list": {"key": "orders", "shards": number}}}
        return json.dumps(body("PulsarBridge", bridge, "shards"))

    for number in (None, 2, 4):
        kubernetes_api.kubectl("apply", "-f", "-", input=shards(number))
    for fewer in (2, None):
        refused = refusal(kubernetes_api, "apply", "-f", "-", input=shards(fewer))
        assert "shards cannot become fewer" in refused


def test_scale_and_names_work_as_kubectl_users_expect(kubernetes_api: Environment) -> None:
    kubernetes_api.kubectl("apply", "-f", "-", input=json.dumps(body("ValkeyWorker", WORKER, "scaled")))
    kubernetes_api.kubectl("scale", "vkw/scaled", "--replicas=3")
    assert kubernetes_api.kubectl("get", "vkw", "scaled", "-o", "jsonpath={.spec.replicas}") == "3"
    header = kubernetes_api.kubectl("get", "vkw", "scaled", "-o", "wide").splitlines()[0].split()
    assert header == ["NAME", "READY", "DESIRED", "PODS", "BACKLOG", "IN-FLIGHT", "DEAD", "AGE", "REASON", "MESSAGE"]
    assert "valkeyworker.headrace.dev/scaled" in kubernetes_api.kubectl("get", "headrace", "-o", "name")


def test_status_is_written_only_through_its_subresource(kubernetes_api: Environment) -> None:
    resource = body("HybridPipeline", PIPELINE, "status")
    resource["status"] = {"backlog": 7}
    kubernetes_api.kubectl("apply", "-f", "-", input=json.dumps(resource))
    assert kubernetes_api.kubectl("get", "hpl", "status", "-o", "jsonpath={.status}") == ""


@pytest.mark.parametrize("path", sorted(Path("examples").glob("**/*.yaml")), ids=str)
def test_example_is_taken(kubernetes_api: Environment, path: Path) -> None:
    """Every example passes admission; a namespace that it makes itself is not there in a dry run."""
    ours = [document for document in yaml.safe_load_all(path.read_text()) if document]
    for document in ours:
        if document["apiVersion"] == API_VERSION:
            document["metadata"]["namespace"] = "default"
            kubernetes_api.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(document))
