"""The CRDs on a real API server: what is taken, what is refused, and with which words."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.api.crd import KINDS
from headrace.api.resource import API_VERSION, InvalidResourceError, parse
from testbed.cluster import CommandError
from testbed.environment import Environment

Json = dict[str, Any]
Change = Callable[[Json], None]

BRIDGE: Json = {
    "source": {"pulsar": {"topic": "persistent://shop/orders/events", "subscription": "pricing"}},
    "sink": {"valkey": {"celery": {"task": "shop.tasks.price", "queue": "pricing"}}},
    "valkey": {"url": "valkey://valkey:6379/0"},
    "pulsar": {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"},
}
WORKER: Json = {"valkey": {"url": "valkey://valkey:6379/0"}, "celery": {"app": "shop.tasks:app"}}
PIPELINE: Json = {
    "valkey": BRIDGE["valkey"],
    "pulsar": BRIDGE["pulsar"],
    "ingest": {"topic": "persistent://shop/orders/events", "subscription": "pricing"},
    "process": {
        "task": "shop.tasks.price",
        "queue": "pricing",
        "worker": {"celery": {"app": "shop.tasks:app"}, "pod": {"image": "shop:1"}},
    },
    "results": {"topic": "persistent://shop/orders/priced"},
}
SPECS = {"PulsarBridge": BRIDGE, "ValkeyWorker": WORKER, "HybridPipeline": PIPELINE}


def body(kind: str, spec: Json, name: str = "sample") -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": copy.deepcopy(spec),
    }


def refusal(kubernetes_api: Environment, *command: str, input: str) -> str:  # noqa: A002 (as in subprocess)
    """What the API server says when it refuses a command."""
    with pytest.raises(CommandError) as caught:
        kubernetes_api.kubectl(*command, input=input)
    return str(caught.value)


def put(path: str, value: Any) -> Change:
    """A change that sets the field at a dotted *path*."""

    def change(spec: Json) -> None:
        *parents, last = path.split(".")
        for part in parents:
            spec = spec.setdefault(part, {})
        spec[last] = value

    return change


def several(*changes: Change) -> Change:
    """All *changes*, one after the other."""

    def change(spec: Json) -> None:
        for each in changes:
            each(spec)

    return change


def drop(path: str) -> Change:
    """A change that removes the field at a dotted *path*."""

    def change(spec: Json) -> None:
        *parents, last = path.split(".")
        for part in parents:
            spec = spec[part]
        del spec[last]

    return change


def outward(source: Json, **sink: Any) -> Change:
    """A change that makes a bridge one from a list to Pulsar."""

    def change(spec: Json) -> None:
        spec["source"] = {"valkey": {"list": source}}
        spec["sink"] = {"pulsar": {"topic": "persistent://shop/orders/events", **sink}}

    return change


def handled(mode: str, **blocks: Json) -> Change:
    """A change that makes a worker one with a handler."""

    def change(spec: Json) -> None:
        del spec["celery"]
        spec["mode"] = mode
        spec.update(copy.deepcopy(blocks))
        runtime = spec[f"{mode[0].lower()}{mode[1:]}"]
        runtime.setdefault("handler", "shop.handlers:on_order")

    return change


REFUSED = [
    ("PulsarBridge", put("sorce", {}), 'unknown field "spec.sorce"', None),
    ("PulsarBridge", put("source.valkey", {"list": {"key": "orders"}}), "source needs one of valkey and pulsar", None),
    ("PulsarBridge", drop("source.pulsar"), "source needs one of valkey and pulsar", None),
    ("PulsarBridge", drop("source"), "spec.source: Required value", "source: Field required"),
    ("PulsarBridge", put("sink", {"pulsar": {"topic": "persistent://a/b/c"}}), "a bridge joins both sides", None),
    (
        "PulsarBridge",
        put("source", {"valkey": {"list": {"key": "orders"}, "stream": {"key": "orders"}}}),
        "source.valkey needs one of list, stream and pubSub",
        None,
    ),
    (
        "PulsarBridge",
        put("source", {"valkey": {"list": {"key": "orders", "format": "Outbox", "shards": 2}}}),
        "shards does not go with format: Outbox, which is one list",
        None,
    ),
    (
        "PulsarBridge",
        put("source", {"valkey": {"pubSub": {"channels": []}}}),
        "pubSub needs at least one of channels and patterns",
        None,
    ),
    (
        "PulsarBridge",
        put("source", {"valkey": {"stream": {"key": "orders", "trim": "sometimes"}}}),
        'spec.source.valkey.stream.trim in body must be of type boolean: "string"',
        "source.valkey.stream.trim: Input should be a valid boolean",
    ),
    (
        "PulsarBridge",
        put("sink.valkey.list", {"key": "orders"}),
        "sink.valkey needs one of celery, list, stream, hash and pubSub, and only one",
        None,
    ),
    (
        "PulsarBridge",
        outward({"key": "orders", "format": "Outbox"}, properties={"shop": "shop"}),
        "sink.pulsar.key, properties and eventTime do not go with format: Outbox",
        None,
    ),
    (
        "PulsarBridge",
        outward({"key": "orders"}, properties={"shop": "message.properties.shop"}),
        "message.properties.FIELD needs a stream with payloadField",
        None,
    ),
    (
        "PulsarBridge",
        outward({"key": "orders"}, eventTime="message.key"),
        "an entry of Valkey has no message.key: write JMESPath on its payload",
        None,
    ),
    (
        "PulsarBridge",
        outward({"key": "orders"}, properties={"HEADRACE_CUT": "id"}),
        "properties that begin with HEADRACE_ or VALKEY_ are Headrace's own: choose another name",
        None,
    ),
    ("PulsarBridge", put("delivery.durability", "Disk"), 'Unsupported value: "Disk"', "delivery.durability"),
    ("PulsarBridge", put("delivery.replicas", 2), "delivery.replicas goes with durability: Replica", None),
    (
        "PulsarBridge",
        put("delivery", {"durability": "Fsync", "replicas": 1}),
        "delivery.replicas goes with durability: Replica",
        None,
    ),
    (
        "PulsarBridge",
        put("sink.valkey.celery.envelope", "JSON"),
        'unknown field "spec.sink.valkey.celery.envelope"',
        None,
    ),
    (
        "PulsarBridge",
        put("valkey.url", "valkey://:secret@valkey:6379/0"),
        "a URL must hold no user and no password: put them in a Secret",
        None,
    ),
    ("PulsarBridge", put("valkey.url", "valkey://valkey:99999/0"), "url must read valkey://HOST:PORT/DATABASE", None),
    ("PulsarBridge", put("valkey.url", "redis://valkey:6379/0"), "url must read valkey://HOST:PORT/DATABASE", None),
    ("PulsarBridge", put("pulsar.serviceUrl", "http://pulsar:8080"), "serviceUrl must read pulsar://HOST:PORT", None),
    ("PulsarBridge", put("pulsar.adminUrl", "http://u:p@pulsar:8080"), "a URL must hold no user", None),
    ("PulsarBridge", put("pulsar.adminUrl", "pulsar:8080"), "adminUrl must read http://HOST:PORT", None),
    (
        "PulsarBridge",
        put("pulsar.tls", {"caSecretRef": {"name": "ca", "key": "ca.crt"}}),
        "tls needs a serviceUrl that begins with pulsar+ssl://",
        None,
    ),
    (
        "PulsarBridge",
        put("source.pulsar.topic", "events"),
        "a topic must read persistent://TENANT/NAMESPACE/TOPIC",
        None,
    ),
    ("PulsarBridge", put("topics", [{"name": "persistent://a/b"}]), "a topic must read persistent://", None),
    (
        "PulsarBridge",
        put("source.pulsar.topics", ["persistent://a/b/c"]),
        "source.pulsar needs one of topic, topics and topicsPattern, and only one",
        None,
    ),
    ("PulsarBridge", put("source.pulsar", {"subscription": "s"}), "source.pulsar needs one of topic, topics", None),
    ("PulsarBridge", put("retry", {"maxAttempts": 3}), "retry needs cache", None),
    (
        "PulsarBridge",
        several(put("retry.topic", "persistent://a/b/c"), put("deadLetter.topic", "persistent://a/b/c")),
        "retry.topic and deadLetter.topic must be two topics",
        None,
    ),
    (
        "PulsarBridge",
        several(
            put("source.pulsar", {"topicsPattern": "persistent://a/b/c-.*", "subscription": "s"}),
            put("deadLetter.topic", "persistent://a/b/c"),
            put("retry", {}),
        ),
        "with source.pulsar.topicsPattern, retry.topic must name the topic for retry letters",
        None,
    ),
    (
        "PulsarBridge",
        put("source.pulsar", {"topics": [], "subscription": "s"}),
        "should have at least 1 items",
        "should have at least 1 item",
    ),
    (
        "PulsarBridge",
        put("source.pulsar", {"topicsPattern": "persistent://a/b/c-.*", "subscription": "s"}),
        "with source.pulsar.topicsPattern, deadLetter.topic must name the topic for dead letters",
        None,
    ),
    (
        "PulsarBridge",
        put("source.pulsar", {"topicsPattern": "persistent://a/.*/c", "subscription": "s"}),
        "topicsPattern must read persistent://TENANT/NAMESPACE/REGEX",
        None,
    ),
    (
        "PulsarBridge",
        put("source.pulsar", {"topicsPattern": "persistent://a/b/c(", "subscription": "s"}),
        "error parsing regexp: missing closing )",
        "topicsPattern must read persistent://TENANT/NAMESPACE/REGEX",
    ),
    ("PulsarBridge", put("namespaces", [{"name": "shop"}]), "a Pulsar namespace must read TENANT/NAMESPACE", None),
    (
        "PulsarBridge",
        put("topics", [{"name": "persistent://a/b/c", "policies": {"retention": {"timeSeconds": 90}}}]),
        "timeSeconds must be -1 (without end) or whole minutes",
        None,
    ),
    ("PulsarBridge", put("replicas", -1), "should be greater than or equal to 0", "greater than or equal to 0"),
    ("ValkeyWorker", put("celery.app", "shop.tasks"), "app must read module:attribute, such as shop.tasks:app", None),
    ("ValkeyWorker", put("celery.pool", "Eventlet"), "Unsupported value", "Input should be 'Prefork'"),
    (
        "ValkeyWorker",
        put("celery", {"app": "a:b", "timeLimitSeconds": 5, "softTimeLimitSeconds": 5}),
        "softTimeLimitSeconds must be less than timeLimitSeconds",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery", {"app": "a:b", "pool": "Solo", "timeLimitSeconds": 5}),
        "need pool: Prefork",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery", {"app": "a:b", "pool": "Gevent", "maxMemoryPerChildMebibytes": 512}),
        "need pool: Prefork",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery", {"app": "a:b", "pool": "Solo", "concurrency": 2}),
        "pool: Solo runs one task at a time: leave concurrency out, or set it to 1",
        None,
    ),
    (
        "ValkeyWorker",
        put("valkey.tls", {"caSecretRef": {"name": "ca", "key": "ca.crt"}}),
        "tls needs a url that begins with valkeys://",
        None,
    ),
    (
        "ValkeyWorker",
        drop("celery"),
        "mode: Celery and the block celery go together: write both, or neither",
        None,
    ),
    ("ValkeyWorker", put("mode", "Polling"), "mode: Polling and the block polling go together", None),
    (
        "ValkeyWorker",
        put("stream", {"key": "orders", "handler": "shop.handlers:on_order"}),
        "mode: Stream and the block stream go together",
        None,
    ),
    (
        "ValkeyWorker",
        handled("PubSub", pubSub={"channels": ["news"]}, celery=WORKER["celery"]),
        "mode: Celery and the block celery go together",
        None,
    ),
    ("ValkeyWorker", handled("Polling", polling={}), "polling needs one of list, zset and hash", None),
    (
        "ValkeyWorker",
        handled("Polling", polling={"list": {"key": "a"}, "zset": {"key": "b"}}),
        "polling needs one of list, zset and hash",
        None,
    ),
    ("ValkeyWorker", handled("PubSub", pubSub={}), "pubSub needs at least one of channels and patterns", None),
    (
        "ValkeyWorker",
        handled("Polling", polling={"list": {"key": "a"}, "handler": "on_order"}),
        "handler must read module:attribute, such as shop.handlers:on_order",
        None,
    ),
    (
        "ValkeyWorker",
        handled("Stream", stream={"key": "a", "format": "Raw"}),
        "format: Raw needs payloadField, the field that holds the bytes",
        None,
    ),
    (
        "ValkeyWorker",
        handled("Stream", stream={"key": "a"}, outbox={"key": "results", "windowSeconds": 5}),
        "outbox.tasks and outbox.windowSeconds go with mode: Celery: leave them out",
        None,
    ),
    (
        "ValkeyWorker",
        put("outbox", {"key": "results"}),
        "outbox needs tasks in mode: Celery: name those whose results are handed over",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery.broker", {"type": "RabbitMQ"}),
        "type: RabbitMQ needs the block rabbitmq, and no other type has it",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery.broker", {"type": "RabbitMQ", "rabbitmq": {"url": "amqp://r"}, "sqs": {"region": "eu-west-1"}}),
        "type: SQS needs the block sqs, and no other type has it",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery.broker", {"type": "RabbitMQ", "rabbitmq": {"url": "amqp://rabbitmq:5672/shop"}}),
        "url must read amqp://HOST:PORT",
        None,
    ),
    (
        "ValkeyWorker",
        put("celery.broker", {"type": "RabbitMQ", "rabbitmq": {"url": "amqp://a:b@rabbitmq"}}),
        "a URL must hold no user and no password",
        None,
    ),
    (
        "ValkeyWorker",
        several(
            put("celery.broker", {"type": "SQS", "sqs": {"region": "eu-west-1"}}), put("celery.beat", {"enabled": True})
        ),
        "beat.enabled needs broker.type: Valkey",
        None,
    ),
    ("ValkeyWorker", put("celery.broker", {"type": "Memory"}), "broker.type: Memory needs pool: Threads", None),
    (
        "ValkeyWorker",
        put("celery.broker", {"type": "SQS", "sqs": {"region": "Frankfurt"}}),
        "region must be an AWS region, such as eu-central-1",
        None,
    ),
    (
        "ValkeyWorker",
        several(
            put("celery.broker", {"type": "SQS", "sqs": {"region": "eu-west-1"}}), put("celery.timeLimitSeconds", 1800)
        ),
        "broker.sqs.visibilityTimeoutSeconds (1800 when left out) must be greater than timeLimitSeconds",
        None,
    ),
    (
        "ValkeyWorker",
        several(
            put("celery.broker", {"type": "SQS", "sqs": {"region": "eu-west-1", "queueNamePrefix": "p" * 60}}),
            put("celery.queues", [{"name": "q" * 21}]),
        ),
        "broker.sqs.queueNamePrefix and a queue's name may have 80 characters together",
        None,
    ),
    ("ValkeyWorker", put("pod.env", [{"name": "A"}]), "an env entry needs one of value and valueFrom", None),
    ("HybridPipeline", put("results.topic", "priced"), "a topic must read persistent://TENANT/NAMESPACE/TOPIC", None),
    ("HybridPipeline", put("process.queue", "two words"), "should match", "should match"),
]


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
    ("kind", "change", "message", "in_memory"), REFUSED, ids=[f"{entry[0]}-{entry[2][:40]}" for entry in REFUSED]
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
