"""The resources that the tests apply."""

import copy
from typing import Any

from headrace.api.resource import API_VERSION

Json = dict[str, Any]

APP_IMAGE = "localhost/headrace-e2e:dev"
VALKEY = {"url": "valkey://valkey:6379/0"}
PULSAR = {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"}
POD = {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}
APP_POD = {**POD, "image": APP_IMAGE, "imagePullPolicy": "IfNotPresent"}


def resource(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": copy.deepcopy(spec)}


def pipeline(name: str, **changes: Any) -> Json:
    """A pipeline of its own Pulsar namespace."""
    spec: Json = {
        "valkey": VALKEY,
        "pulsar": PULSAR,
        "namespaces": [{"name": f"e2e/{name}"}],
        "ingest": {"topic": f"persistent://e2e/{name}/orders", "subscription": "pricing", "pod": POD},
        "deduplicate": {"key": "order_id"},
        "cache": {"key": "order_id", "prefix": f"{name}:", "ttlSeconds": 600},
        "process": {
            "task": "orders.price",
            "queue": f"{name}-pricing",
            "worker": {
                "celery": {"app": "orders:app", "concurrency": 2, "results": {"enabled": False}},
                "terminationGracePeriodSeconds": 10,
                "pod": APP_POD,
            },
        },
        "results": {"topic": f"persistent://e2e/{name}/priced", "pod": POD},
        "failures": {"retry": {"maxAttempts": 2, "backoff": {"baseSeconds": 1, "capSeconds": 1}}},
    }
    return resource("HybridPipeline", name, {**spec, **changes})


def worker(name: str, **changes: Any) -> Json:
    spec: Json = {
        "valkey": VALKEY,
        "celery": {"app": "orders:app", "concurrency": 1, "pool": "Solo", "queues": [{"name": name}]},
        "terminationGracePeriodSeconds": 10,
        "pod": APP_POD,
    }
    return resource("ValkeyWorker", name, {**spec, **changes})


def list_to_pulsar(name: str, **changes: Any) -> Json:
    """A bridge from the list `NAME` to the topic `persistent://e2e/NAME/events`."""
    spec: Json = {
        "source": {"valkey": {"list": {"key": name}}},
        "sink": {"pulsar": {"topic": f"persistent://e2e/{name}/events"}},
        "valkey": VALKEY,
        "pulsar": PULSAR,
        "namespaces": [{"name": f"e2e/{name}"}],
        "pod": POD,
    }
    return resource("PulsarBridge", name, {**spec, **changes})
