"""One trace through Pulsar, Celery and Pulsar, with real brokers and real processes."""

import functools
import uuid

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_topic,
    publish,
    read_topic,
    resource,
    wait_for,
)

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "shop=1"}


def test_a_trace_goes_through_pulsar_celery_and_pulsar(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    events, results = (f"persistent://public/default/trace-{uuid.uuid4().hex[:8]}" for _ in range(2))
    for topic in (events, f"{events}-shop-DLQ", results, f"{results}-DLQ"):
        create_topic(pulsar, topic)
    publish(pulsar, events, [b'{"id": "good"}', b'{"id": "bad", "refuse": "no"}', b"no json"], properties=TRACE)
    ingest = {
        "source": {"pulsar": {"topic": events, "subscription": "shop"}},
        "sink": {"valkey": {"celery": {"task": "shop.price", "queue": "pricing"}}},
        **connections(valkey, pulsar),
    }
    work = {
        "valkey": {"url": valkey.url},
        "celery": {"app": "tests.integration.shop_tasks:app", "queues": [{"name": "pricing"}], "pool": "Solo"},
        "outbox": {"key": "outbox", "tasks": ["shop.price"]},
    }
    publishing = {
        "source": {"valkey": {"list": {"key": "outbox", "format": "Outbox"}}},
        "sink": {"pulsar": {"topic": results}},
        **connections(valkey, pulsar),
    }
    processes.start("bridge", resource("PulsarBridge", "ingest", ingest))
    processes.start("worker", resource("ValkeyWorker", "shop", work), environment={"SHOP_VALKEY": valkey.url})
    processes.start("bridge", resource("PulsarBridge", "publishing", publishing))
    for topic in (results, f"{results}-DLQ", f"{events}-shop-DLQ"):
        [message] = wait_for(functools.partial(read_topic, pulsar, topic), f"a message of {topic}", 60)
        assert message.properties().items() >= TRACE.items(), topic
