"""What a bridge from Pulsar runs: its loops, and the threads that watch topics, backlog and acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.api.bridge_source import PulsarSource, SubscriptionType
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.acknowledged_line import AcknowledgedLine
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.backlog import SubscriptionBacklog
from headrace.bridge.circuit import Circuit
from headrace.bridge.client_log import client_log
from headrace.bridge.company import Company
from headrace.bridge.identity import Identity
from headrace.bridge.incarnation import Incarnations
from headrace.bridge.inward import Inward
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.proof import Proof
from headrace.bridge.pulsar_library import Client
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.remembered import Remembered
from headrace.bridge.source_topics import PATIENCE_SECONDS, SourceTopics
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import ValkeyServer


@dataclass(frozen=True)
class Inlet:
    """What its parts share."""

    bridge: PulsarBridge
    prefix: str
    server: ValkeyServer
    client: Client
    admin: PulsarAdmin
    raw: RawTopics
    health: Health
    metrics: BridgeMetrics
    stop: Stop
    identity: Identity
    bucket: TokenBucket
    circuit: Callable[[], Circuit]
    """Makes the circuit of a loop."""
    proof: Proof

    def loops(self) -> list[Inward]:
        """The loops, which are the caller's to run; the threads run from now on."""
        source = self.bridge.spec.source.pulsar
        assert source is not None
        topics = self._topics(source)
        SubscriptionBacklog(self.admin, topics, source.subscription, self.metrics, self.stop).start()
        loops = [self._loop(source, topics)]
        if retry := self.bridge.spec.retry_topic:
            # the broker holds messages back for Shared subscriptions alone
            waiting = PulsarSource(
                topic=retry,
                subscription=source.subscription,
                subscription_type=SubscriptionType.SHARED,
                batching=source.batching,
            )
            loops.append(self._loop(waiting, self._topics(waiting)))
        return loops

    def _topics(self, source: PulsarSource) -> SourceTopics:
        def problem(topic: str, reason: str) -> None:
            self.metrics.consumer_failures.labels(topic=topic, subscription=source.subscription, reason=reason).inc()

        side = "pulsar admin" if source.topics_pattern else "pulsar"
        label = source.topics_pattern or ", ".join(source.names)
        standing = self.health.standing(f"topics {label}", side, patience_seconds=PATIENCE_SECONDS)
        topics = SourceTopics(self.bridge.spec, source, self.client, self.admin, problem, self.stop, standing)
        topics.start()
        return topics

    def _loop(self, source: PulsarSource, topics: SourceTopics) -> Inward:
        resource, uid = self.bridge.identity, self.bridge.metadata.uid
        company = Company(self.admin, source.subscription, resource, uid or resource, self.stop)
        company.start()
        if source.subscription_type is not SubscriptionType.FAILOVER:
            valkey = self.server.client()
            remembered = Remembered(valkey, self.prefix, source.subscription)
            incarnations = Incarnations(self.client, self.raw, source.subscription)
            AcknowledgedLine(
                self.admin, topics, company, incarnations, client_log(), valkey, remembered, self.health, self.stop
            ).start()
        return Inward(
            self.bridge,
            source,
            self.prefix,
            topics,
            company,
            self.server,
            self.client,
            self.admin,
            self.raw,
            self.health,
            self.metrics,
            self.stop,
            self.identity,
            self.bucket,
            self.circuit(),
            self.proof,
        )
