"""Bodies of resources, what is changed about them, and what the API server says of each change that it refuses."""

import copy
from collections.abc import Callable
from typing import Any

from headrace.api.resource import API_VERSION

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
