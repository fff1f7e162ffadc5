"""What situations of alerts are made of: a few resources, and series as promtool writes them."""

from dataclasses import dataclass

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker

Series = dict[str, str]

_CONNECTIONS = {
    "valkey": {"url": "valkey://valkey:6379/0"},
    "pulsar": {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"},
}
_TASK = {"task": "shop.tasks.price", "queue": "pricing"}


def _bridge(name: str, source: dict[str, object], **fields: object) -> PulsarBridge:
    """A bridge from Pulsar topics to Celery."""
    spec = {
        **_CONNECTIONS,
        "source": {"pulsar": {"subscription": "pricing", **source}},
        "sink": {"valkey": {"celery": _TASK}},
        **fields,
    }
    return parse(PulsarBridge, {"metadata": {"name": name, "namespace": "shop", "uid": "1"}, "spec": spec})


RESOURCES = {
    "ingest": _bridge("ingest", {"topic": "persistent://shop/orders/events.v1"}),
    "again": _bridge("again", {"topic": "persistent://shop/orders/events"}, replay={"id": "a", "from": "DeadLetter"}),
    "several": _bridge("several", {"topics": ["persistent://shop/orders/a.b", "persistent://shop/orders/c"]}),
    "matching": _bridge(
        "matching",
        {"topicsPattern": "persistent://shop/orders/eu|us"},
        deadLetter={"topic": "persistent://shop/orders/dead"},
    ),
    "forward": parse(
        PulsarBridge,
        {
            "metadata": {"name": "forward", "namespace": "shop", "uid": "2"},
            "spec": {
                **_CONNECTIONS,
                "source": {"valkey": {"list": {"key": "orders"}}},
                "sink": {"pulsar": {"topic": "persistent://shop/orders/events"}},
            },
        },
    ),
    "news": parse(
        PulsarBridge,
        {
            "metadata": {"name": "news", "namespace": "shop", "uid": "6"},
            "spec": {
                **_CONNECTIONS,
                "source": {"valkey": {"pubSub": {"channels": ["news"]}}},
                "sink": {"pulsar": {"topic": "persistent://shop/orders/news"}},
            },
        },
    ),
    "results": parse(
        PulsarBridge,
        {
            "metadata": {"name": "results", "namespace": "shop", "uid": "5"},
            "spec": {
                **_CONNECTIONS,
                "source": {"valkey": {"list": {"key": "outbox", "format": "Outbox"}}},
                "sink": {"pulsar": {"topic": "persistent://shop/orders/priced"}},
            },
        },
    ),
    "guarded": parse(
        PulsarBridge,
        {
            "metadata": {"name": "guarded", "namespace": "shop", "uid": "9"},
            "spec": {
                **_CONNECTIONS,
                "source": {"valkey": {"list": {"key": "orders"}}},
                "sink": {"pulsar": {"topic": "persistent://shop/orders/events"}},
                "circuitBreaker": {},
            },
        },
    ),
    "pricing": parse(
        ValkeyWorker,
        {
            "metadata": {"name": "pricing", "namespace": "shop", "uid": "3"},
            "spec": {
                "valkey": _CONNECTIONS["valkey"],
                "celery": {"app": "shop.tasks:app", "beat": {"enabled": True}},
            },
        },
    ),
    "listening": parse(
        ValkeyWorker,
        {
            "metadata": {"name": "listening", "namespace": "shop", "uid": "7"},
            "spec": {
                "mode": "PubSub",
                "valkey": _CONNECTIONS["valkey"],
                "pubSub": {"channels": ["news"], "handler": "shop.handlers:on_news"},
            },
        },
    ),
    "pipeline": parse(
        HybridPipeline,
        {
            "metadata": {"name": "orders", "namespace": "shop", "uid": "4"},
            "spec": {
                **_CONNECTIONS,
                "ingest": {"topic": "persistent://shop/orders/events", "subscription": "pricing"},
                "process": {**_TASK, "worker": {"celery": {"app": "shop.tasks:app"}}},
                "results": {"topic": "persistent://shop/orders/priced"},
            },
        },
    ),
}


@dataclass(frozen=True)
class Case:
    """One situation: every 15 s a sample of each series, and how many alerts of one name then fire."""

    alert: str
    situation: str
    resource: str
    series: Series
    at: str
    firing: int

    def __str__(self) -> str:
        return f"{self.alert}: {self.situation}"


def own(metric: str, name: str, **labels: str) -> str:
    """A series of the pods of the resource *name*."""
    inside = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'{metric}{{namespace="shop",name="{name}"{inside}}}'


def reported(metric: str, kind: str, name: str) -> str:
    """A series of the operator."""
    return f'{metric}{{kind="{kind}",namespace="shop",name="{name}"}}'


def broker(metric: str, topic: str, subscription: str = "pricing") -> str:
    """A series of the Pulsar broker."""
    return f'{metric}{{cluster="c",namespace="shop/orders",topic="{topic}",subscription="{subscription}"}}'


def up(name: str, suffix: str) -> str:
    """Prometheus' own series for one pod."""
    return f'up{{namespace="shop",job="shop/{name}-{suffix}",pod="a"}}'


def celery(metric: str, **labels: str) -> str:
    """A series under celery-exporter's name, from the pods of the worker `pricing`."""
    inside = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'{metric}{{namespace="shop",job="shop/pricing-worker"{inside}}}'


ORDERS = "persistent://shop/orders/"
EVENTS = "persistent://shop/orders/events.v1"
BACKLOG = own("headrace_bridge_backlog", "ingest", pod="a")
FORWARD_BACKLOG = own("headrace_bridge_backlog", "forward", pod="a")
QUEUE = celery("celery_queue_length", queue_name="pricing", pod="a")
INGEST_UP = {up("ingest", "bridge"): "1x200"}
PRICING_UP = {up("pricing", "worker"): "1x200"}
STAGES_WAIT = {own("headrace_bridge_backlog", "orders-ingest"): "5x200"}
RECEIVED = celery("celery_task_received_total", name="shop.tasks.price")
PUBLISHED = own("headrace_bridge_forwarded_total", "orders-results", topic="t", status="success")
REFUSED = own("headrace_bridge_dead_letters_total", "orders-ingest", reason="InvalidJSON")


def case(alert: str, resource: str, situation: str, series: Series, at: str = "7m", firing: int = 1) -> Case:
    return Case(alert, situation, resource, series, at, firing)


def quiet(alert: str, resource: str, situation: str, series: Series, at: str = "7m") -> Case:
    return Case(alert, situation, resource, series, at, 0)
