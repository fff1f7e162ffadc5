"""Situations in which an alert must fire, or must not: series as promtool writes them, for a few resources."""

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
            "spec": {"valkey": _CONNECTIONS["valkey"], "celery": {"app": "shop.tasks:app"}},
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


SITUATIONS = [
    # too much waits: whoever knows it, says it
    case("PulsarBacklogCritical", "ingest", "the pods see 10001", {BACKLOG: "10001x80"}),
    case(
        "PulsarBacklogCritical",
        "ingest",
        "only the operator knows",
        {reported("headrace_resource_backlog", "PulsarBridge", "ingest"): "20000x80"},
    ),
    case(
        "PulsarBacklogCritical",
        "ingest",
        "only the broker knows, partition by partition",
        {
            broker("pulsar_subscription_back_log", f"{EVENTS}-partition-0"): "6000x80",
            broker("pulsar_subscription_back_log", f"{EVENTS}-partition-1"): "6000x80",
        },
    ),
    case(
        "PulsarBacklogCritical",
        "ingest",
        "the pods hang at an old figure",
        {BACKLOG: "3x80", broker("pulsar_subscription_back_log", EVENTS): "20000x80"},
    ),
    quiet("PulsarBacklogCritical", "ingest", "not for five minutes yet", {BACKLOG: "20000x80"}, at="4m"),
    quiet("PulsarBacklogCritical", "ingest", "exactly at the threshold", {BACKLOG: "10000x80"}),
    quiet("PulsarBacklogCritical", "ingest", "it was so for a while only", {BACKLOG: "20000x12 0x80"}),
    quiet(
        "PulsarBacklogCritical",
        "ingest",
        "two pods report the same backlog",
        {BACKLOG: "6000x80", own("headrace_bridge_backlog", "ingest", pod="b"): "6000x80"},
    ),
    quiet(
        "PulsarBacklogCritical",
        "ingest",
        "another subscription, another topic, another bridge",
        {
            broker("pulsar_subscription_back_log", EVENTS, "other"): "20000x80",
            broker("pulsar_subscription_back_log", f"{EVENTS}-pricing-DLQ"): "20000x80",
            broker("pulsar_subscription_back_log", "persistent://shop/orders/eventsXv1"): "20000x80",
            own("headrace_bridge_backlog", "other"): "20000x80",
            reported("headrace_resource_backlog", "ValkeyWorker", "ingest"): "20000x80",
        },
    ),
    case(
        "PulsarBacklogCritical",
        "several",
        "two topics together",
        {broker("pulsar_subscription_back_log", f"{ORDERS}{name}"): "6000x80" for name in ("a.b", "c-partition-1")},
    ),
    quiet(
        "PulsarBacklogCritical",
        "several",
        "one of them is another's",
        {broker("pulsar_subscription_back_log", f"{ORDERS}{name}"): "6000x80" for name in ("a.b", "axb")},
    ),
    case(
        "PulsarBacklogCritical",
        "matching",
        "topics of the pattern together",
        {broker("pulsar_subscription_back_log", f"{ORDERS}{name}"): "6000x80" for name in ("eu", "us-partition-1")},
    ),
    quiet(
        "PulsarBacklogCritical",
        "matching",
        "topics that do not match as a whole",
        {broker("pulsar_subscription_back_log", f"{ORDERS}{name}"): "6000x80" for name in ("eu", "eur")},
    ),
    case("HeadraceBridgeBacklogCritical", "forward", "the list is long", {FORWARD_BACKLOG: "10001x80"}),
    quiet("HeadraceBridgeBacklogCritical", "forward", "the list is short", {FORWARD_BACKLOG: "10x80"}),
    case(
        "HeadraceWorkerBacklogCritical",
        "pricing",
        "two queues together",
        {QUEUE: "6000x80", celery("celery_queue_length", queue_name="bulk", pod="a"): "6000x80"},
    ),
    quiet(
        "HeadraceWorkerBacklogCritical",
        "pricing",
        "two pods report the same queue",
        {QUEUE: "6000x80", celery("celery_queue_length", queue_name="pricing", pod="b"): "6000x80"},
    ),
    # the early warning
    case("HeadraceBridgeBacklogGrowing", "ingest", "from 2000 by one a second", {BACKLOG: "2000+15x200"}, at="31m"),
    quiet("HeadraceBridgeBacklogGrowing", "ingest", "shrinking", {BACKLOG: "9000-15x200"}, at="31m"),
    quiet("HeadraceBridgeBacklogGrowing", "ingest", "small", {BACKLOG: "1+1x200"}, at="31m"),
    quiet("HeadraceBridgeBacklogGrowing", "ingest", "critical already", {BACKLOG: "12000+15x200"}, at="31m"),
    quiet(
        "HeadraceBridgeBacklogGrowing", "ingest", "up and down", {BACKLOG: "2000+15x40 2600-15x40 2000x99"}, at="31m"
    ),
    case("HeadraceWorkerBacklogGrowing", "pricing", "from 2000 by one a second", {QUEUE: "2000+15x200"}, at="31m"),
    quiet("HeadraceWorkerBacklogGrowing", "pricing", "steady", {QUEUE: "2000x200"}, at="31m"),
    # failures
    case(
        "PulsarConsumerFailures",
        "ingest",
        "six a second, for two reasons",
        {
            own("pulsar_consumer_failures_total", "ingest", topic="t", subscription="s", reason="A"): "0+45x80",
            own("pulsar_consumer_failures_total", "ingest", topic="t", subscription="s", reason="B"): "0+45x80",
        },
        at="3m",
    ),
    quiet(
        "PulsarConsumerFailures",
        "ingest",
        "five a second",
        {own("pulsar_consumer_failures_total", "ingest", reason="A"): "0+75x80"},
        at="3m",
    ),
    quiet(
        "PulsarConsumerFailures",
        "ingest",
        "a burst of half a minute",
        {own("pulsar_consumer_failures_total", "ingest", reason="A"): "0+150x2 300x80"},
        at="3m",
    ),
    case(
        "HeadraceBridgePublishFailures",
        "forward",
        "six a second",
        {own("headrace_bridge_forwarded_total", "forward", topic="t", status="failure"): "0+90x80"},
        at="3m",
    ),
    quiet(
        "HeadraceBridgePublishFailures",
        "forward",
        "all goes well, and fast",
        {own("headrace_bridge_forwarded_total", "forward", topic="t", status="success"): "0+90000x80"},
        at="3m",
    ),
    case(
        "HeadraceWorkerFailureRate",
        "pricing",
        "six a second",
        {celery("celery_task_failed_total", name="shop.tasks.price", exception="ValueError"): "0+90x80"},
        at="3m",
    ),
    quiet(
        "HeadraceWorkerFailureRate",
        "pricing",
        "four a second",
        {celery("celery_task_failed_total", name="shop.tasks.price", exception="ValueError"): "0+60x80"},
        at="3m",
    ),
    # a destination that fails
    case(
        "HeadraceBridgeCircuitOpen",
        "guarded",
        "open, now and then half-open, as one of two pods sees it",
        {
            own("headrace_bridge_breaker_state", "guarded", destination="t", pod="a"): "2 2 1 2 2 1 2x80",
            own("headrace_bridge_breaker_state", "guarded", destination="t", pod="b"): "0x80",
        },
        at="2m",
    ),
    quiet(
        "HeadraceBridgeCircuitOpen",
        "guarded",
        "closed again at once",
        {own("headrace_bridge_breaker_state", "guarded", destination="t", pod="a"): "2 2 1 0x80"},
        at="2m",
    ),
    # channels
    case(
        "HeadraceBridgeMessagesLost",
        "news",
        "the buffer is full, and there was a gap right after the start",
        {
            own("headrace_bridge_dropped_total", "news", reason="BufferFull"): "0x10 500x30",
            own("headrace_bridge_gaps_total", "news"): "_x10 1x30",
        },
        at="5m",
        firing=2,
    ),
    quiet(
        "HeadraceBridgeMessagesLost",
        "news",
        "long ago",
        {
            own("headrace_bridge_dropped_total", "news", reason="BufferFull"): "0x4 500x200",
            own("headrace_bridge_gaps_total", "news"): "0x4 1x200",
        },
        at="30m",
    ),
    # dead letters
    case(
        "HeadraceBridgeDeadLetters",
        "ingest",
        "one of each of two reasons",
        {
            own("headrace_bridge_dead_letters_total", "ingest", reason="InvalidJSON"): "0x10 1x30",
            own("headrace_bridge_dead_letters_total", "ingest", reason="KeyMissing"): "0x10 1x30",
            own("headrace_bridge_dead_letters_total", "ingest", reason="MessageTooLarge"): "0x40",
        },
        at="5m",
        firing=2,
    ),
    case(
        "HeadraceBridgeDeadLetters",
        "ingest",
        "the first of its reason: the series begins with it",
        {own("headrace_bridge_dead_letters_total", "ingest", reason="InvalidJSON"): "_x80 1x200"},
        at="25m",
    ),
    quiet(
        "HeadraceBridgeDeadLetters",
        "ingest",
        "the first of its reason, but long ago",
        {own("headrace_bridge_dead_letters_total", "ingest", reason="InvalidJSON"): "_x80 1x200"},
        at="45m",
    ),
    quiet(
        "HeadraceBridgeDeadLetters",
        "ingest",
        "some, but long ago",
        {own("headrace_bridge_dead_letters_total", "ingest", reason="InvalidJSON"): "0x4 7x200"},
        at="30m",
    ),
    quiet(
        "HeadraceBridgeDeadLetters",
        "results",
        "a task failed: the worker's alert says so",
        {own("headrace_bridge_dead_letters_total", "results", reason="TaskFailed"): "0x10 1x30"},
        at="5m",
    ),
    case(
        "HeadraceBridgeDeadLetters",
        "results",
        "a result is too large",
        {own("headrace_bridge_dead_letters_total", "results", reason="MessageTooLarge"): "0x10 1x30"},
        at="5m",
    ),
    case(
        "HeadraceWorkerDeadLetters",
        "pricing",
        "one",
        {own("headrace_worker_dead_letters_total", "pricing", reason="TaskFailed"): "0x10 1x30"},
        at="5m",
    ),
    quiet(
        "HeadraceWorkerDeadLetters",
        "pricing",
        "none since the start",
        {own("headrace_worker_dead_letters_total", "pricing", reason="TaskFailed"): "0x40"},
        at="5m",
    ),
    # nobody works
    case(
        "HeadraceBridgeDisconnected",
        "ingest",
        "no pod reaches Valkey",
        {
            own("headrace_bridge_connected", "ingest", pod="a", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="b", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="a", side="pulsar"): "1x80",
        },
    ),
    quiet(
        "HeadraceBridgeDisconnected",
        "ingest",
        "one pod of two is enough",
        {
            own("headrace_bridge_connected", "ingest", pod="a", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="b", side="valkey"): "1x80",
        },
    ),
    quiet(
        "HeadraceBridgeDisconnected",
        "ingest",
        "a broker that restarts",
        {own("headrace_bridge_connected", "ingest", side="pulsar"): "1x4 0x8 1x80"},
    ),
    case(
        "HeadraceBridgeReplayStuck",
        "again",
        "it deals with nothing",
        {
            own("headrace_bridge_replay_running", "again", pod="a"): "1x80",
            own("headrace_bridge_replay_running", "again", pod="b"): "0x80",
            own("headrace_bridge_replayed_total", "again", pod="a", status="replayed"): "7x80",
        },
        at="11m",
    ),
    quiet(
        "HeadraceBridgeReplayStuck",
        "again",
        "it skips messages",
        {
            own("headrace_bridge_replay_running", "again"): "1x80",
            own(
                "headrace_bridge_replayed_total", "again", status="skipped"
            ): "0x3 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x3 9x40",
        },
        at="11m",
    ),
    quiet(
        "HeadraceBridgeReplayStuck",
        "again",
        "none runs",
        {own("headrace_bridge_replay_running", "again"): "0x80"},
        at="11m",
    ),
    case("HeadracePodsDown", "ingest", "there is no pod", {"anything": "1x80"}),
    case("HeadracePodsDown", "pricing", "pods that do not answer", {up("pricing", "worker"): "0x80"}),
    quiet("HeadracePodsDown", "ingest", "one pod of two answers", {**INGEST_UP, up("ingest", "bridge") + "": "1x80"}),
    quiet("HeadracePodsDown", "pricing", "a rollout", {up("pricing", "worker"): "1x4 0x8 1x80"}),
    case(
        "PulsarNoConsumers",
        "ingest",
        "by the operator",
        {BACKLOG: "1x80", reported("headrace_resource_consumers", "PulsarBridge", "ingest"): "0x80", **INGEST_UP},
    ),
    case(
        "PulsarNoConsumers",
        "ingest",
        "by the broker",
        {
            broker("pulsar_subscription_back_log", f"{EVENTS}-partition-0"): "1x80",
            broker("pulsar_subscription_consumers_count", f"{EVENTS}-partition-0"): "0x80",
            **INGEST_UP,
        },
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "one consumer",
        {BACKLOG: "1x80", broker("pulsar_subscription_consumers_count", EVENTS): "1x80", **INGEST_UP},
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "nothing waits",
        {BACKLOG: "0x80", broker("pulsar_subscription_consumers_count", EVENTS): "0x80", **INGEST_UP},
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "no pod is up: another alert says so",
        {BACKLOG: "1x80", broker("pulsar_subscription_consumers_count", EVENTS): "0x80"},
    ),
    case(
        "HeadraceWorkerNotConsuming",
        "pricing",
        "it has stopped",
        {QUEUE: "3x200", RECEIVED: "0+10x20 200x200", **PRICING_UP},
        at="25m",
    ),
    case("HeadraceWorkerNotConsuming", "pricing", "it never began", {QUEUE: "3x200", **PRICING_UP}, at="25m"),
    quiet(
        "HeadraceWorkerNotConsuming",
        "pricing",
        "slow but alive",
        {QUEUE: "3x200", RECEIVED: "0x20 1x36 2x36 3x36 4x99", **PRICING_UP},
        at="25m",
    ),
    quiet("HeadraceWorkerNotConsuming", "pricing", "nothing to do", {QUEUE: "0x200", **PRICING_UP}, at="25m"),
    quiet("HeadraceWorkerNotConsuming", "pricing", "no pod is up: another alert", {QUEUE: "3x200"}, at="25m"),
    # the pipeline as a whole
    case("HeadracePipelineStalled", "pipeline", "events wait and nothing comes out", STAGES_WAIT, at="30m"),
    case(
        "HeadracePipelineStalled",
        "pipeline",
        "tasks wait, and the last result is long ago",
        {
            'celery_queue_length{namespace="shop",job="shop/orders-process-worker",queue_name="pricing"}': "5x200",
            PUBLISHED: "0+5x10 50x200",
        },
        at="30m",
    ),
    quiet("HeadracePipelineStalled", "pipeline", "results come", {**STAGES_WAIT, PUBLISHED: "0+1x200"}, at="30m"),
    quiet("HeadracePipelineStalled", "pipeline", "all is refused", {**STAGES_WAIT, REFUSED: "0+1x200"}, at="30m"),
    quiet(
        "HeadracePipelineStalled",
        "pipeline",
        "nothing waits, nothing comes",
        {own("headrace_bridge_backlog", "orders-ingest"): "0x200", PUBLISHED: "9x200"},
        at="30m",
    ),
]
