"""What a bridge from Pulsar runs: its loop, and the threads that watch topics, backlog and acknowledgements."""

from __future__ import annotations

from headrace.api.bridge_source import SubscriptionType
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.acknowledged_line import AcknowledgedLine
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.backlog import SubscriptionBacklog
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.inward import Inward
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.pulsar_library import Client
from headrace.bridge.source_topics import SourceTopics
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import ValkeyServer


def inlet(
    bridge: PulsarBridge,
    prefix: str,
    server: ValkeyServer,
    client: Client,
    admin: PulsarAdmin,
    health: Health,
    metrics: BridgeMetrics,
    stop: Stop,
) -> Inward:
    """The loop of *bridge*, which is the caller's to run; the threads run from now on."""
    source = bridge.spec.source.pulsar
    assert source is not None
    subscription = source.subscription

    def problem(topic: str, reason: str) -> None:
        metrics.consumer_failures.labels(topic=topic, subscription=subscription, reason=reason).inc()

    topics = SourceTopics(bridge.spec, client, admin, problem, stop)
    topics.start()
    SubscriptionBacklog(admin, topics, subscription, metrics, stop).start()
    if source.subscription_type is not SubscriptionType.FAILOVER:
        ids = DeliveredIds(server.client(), prefix)
        AcknowledgedLine(admin, topics, subscription, ids, stop).start()
    return Inward(bridge, prefix, topics, server, client, health, metrics, stop)
