"""What the API server says of resources that would read what they write, in the form of `refusals.py`."""

from tests.contract.refusals import drop, handled, outward, put, several

EVENTS = "persistent://shop/orders/events"
CACHE = put("cache", {"key": "id", "prefix": "order:", "ttlSeconds": 60})

CIRCULAR = [
    *[
        ("PulsarBridge", change, "deadLetter.topic must be another topic than those of source.pulsar", None)
        for change in (
            put("deadLetter", {"topic": EVENTS}),
            put("deadLetter", {"topic": f"{EVENTS}-partition-3"}),
            several(put("source.pulsar.topic", f"{EVENTS}-partition-0"), put("deadLetter", {"topic": EVENTS})),
            several(
                drop("source.pulsar.topic"),
                put("source.pulsar.topics", ["persistent://a/b/c", f"{EVENTS}-partition-1"]),
                put("deadLetter", {"topic": EVENTS}),
            ),
            several(drop("source.pulsar.topic"), put("source.pulsar.topics", [EVENTS, f"{EVENTS}-pricing-DLQ"])),
        )
    ],
    *[
        ("PulsarBridge", several(CACHE, change), "retry.topic must be another topic than those of source.pulsar", None)
        for change in (
            put("retry", {"topic": EVENTS}),
            put("retry", {"topic": f"{EVENTS}-partition-0"}),
            several(
                drop("source.pulsar.topic"),
                put("source.pulsar.topics", [EVENTS, f"{EVENTS}-pricing-RETRY"]),
                put("retry", {}),
            ),
        )
    ],
    *[
        ("PulsarBridge", several(CACHE, change), "retry.topic and deadLetter.topic must be two topics", None)
        for change in (
            several(put("retry", {"topic": "persistent://a/b/c"}), put("deadLetter", {"topic": "persistent://a/b/c"})),
            several(put("retry", {}), put("deadLetter", {"topic": f"{EVENTS}-pricing-RETRY-partition-0"})),
            put("retry", {"topic": f"{EVENTS}-pricing-DLQ"}),
        )
    ],
    (
        "PulsarBridge",
        several(outward({"key": "orders"}), put("deadLetter", {"topic": f"{EVENTS}-partition-2"})),
        "deadLetter.topic must be another topic than sink.pulsar.topic",
        None,
    ),
    *[
        ("PulsarBridge", change, "replay.target must be another topic than the dead letters themselves", None)
        for change in (
            put("replay", {"id": "1", "from": "DeadLetter", "target": f"{EVENTS}-pricing-DLQ"}),
            several(
                put("deadLetter", {"topic": "persistent://a/b/c"}),
                put("replay", {"id": "1", "from": "DeadLetter", "target": "persistent://a/b/c-partition-1"}),
            ),
            several(
                outward({"key": "orders"}),
                put("replay", {"id": "1", "from": "DeadLetter", "target": f"{EVENTS}-DLQ"}),
            ),
        )
    ],
    ("HybridPipeline", put("results.topic", EVENTS), "results.topic must be another topic than ingest.topic", None),
    *[
        ("HybridPipeline", change, "failures.deadLetter.topic must be another topic than ingest.topic", None)
        for change in (
            put("failures", {"deadLetter": {"topic": f"{EVENTS}-partition-1"}}),
            put("failures", {"deadLetter": {"topic": "persistent://shop/orders/priced"}}),
            put("results.topic", f"{EVENTS}-pricing-DLQ"),
        )
    ],
    *[
        ("ValkeyWorker", change, "outbox.key and deadLetter.key must be other keys than the queues", None)
        for change in (
            put("deadLetter", {"key": "celery"}),
            several(put("celery.queues", [{"name": "a"}, {"name": "b"}]), put("deadLetter", {"key": "b"})),
            put("outbox", {"key": "celery", "tasks": ["t"]}),
            several(handled("Polling", polling={"list": {"key": "orders"}}), put("deadLetter", {"key": "orders"})),
            several(handled("Polling", polling={"zset": {"key": "orders"}}), put("outbox", {"key": "orders"})),
            several(handled("Polling", polling={"hash": {"key": "orders"}}), put("deadLetter", {"key": "orders"})),
            several(handled("Stream", stream={"key": "orders"}), put("deadLetter", {"key": "orders"})),
        )
    ],
]
