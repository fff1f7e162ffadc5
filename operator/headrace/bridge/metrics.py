"""The bridge's series. Every sample also carries ``namespace`` and ``name`` of the PulsarBridge."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class BridgeMetrics:
    """One registry for all loops of the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        at: Any = {"registry": self.registry}
        self.forwarded = Counter(
            "headrace_bridge_forwarded",
            "Messages moved (success), or given up for now (failure).",
            ["topic", "status"],
            **at,
        )
        self.seconds = Histogram(
            "headrace_bridge_forward_seconds",
            "Time to move one batch: from taking it until both sides know.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
            **at,
        )
        self.in_flight = Gauge("headrace_bridge_in_flight", "Messages taken and not yet settled on both sides.", **at)
        self.backlog = Gauge("headrace_bridge_backlog", "Messages waiting at the source.", **at)
        self.dropped = Counter(
            "headrace_bridge_duplicates_dropped", "Messages dropped as redelivered or seen before.", ["reason"], **at
        )
        self.discarded = Counter(
            "headrace_bridge_dropped",
            "Messages of channels that found no room.",
            ["reason"],
            **at,
        )
        self.passed_over = Counter(
            "headrace_bridge_passed_over", "Messages that are not the bridge's to move.", ["reason"], **at
        )
        self.gaps = Counter("headrace_bridge_gaps", "Times when nobody was subscribed to the channels.", **at)
        self.missed = Counter(
            "headrace_bridge_missed",
            "Entries of source topics that were taken away, or given up by the client, before they were read.",
            ["topic", "reason"],
            **at,
        )
        self.dead_letters = Counter("headrace_bridge_dead_letters", "Messages given up for good.", ["reason"], **at)
        self.replayed = Counter(
            "headrace_bridge_replayed",
            "Messages that a replay dealt with: replayed, skipped, failed.",
            ["status"],
            **at,
        )
        self.replay_running = Gauge("headrace_bridge_replay_running", "1 while this pod runs a replay.", **at)
        self.passed = Counter(
            "headrace_bridge_letters_passed_over", "Letters of other bridges that stay where they lie.", ["topic"], **at
        )
        self.retries = Counter("headrace_bridge_retries", "Messages put off for another attempt.", ["reason"], **at)
        self.connected = Gauge("headrace_bridge_connected", "1 while the side is reachable.", ["side"], **at)
        self.unheard = Counter(
            "headrace_bridge_unheard", "Messages published to a Valkey channel that nobody had subscribed to.", **at
        )
        self.side_failures = Counter(
            "headrace_bridge_side_failures", "Times that a side did not serve the bridge.", ["side", "reason"], **at
        )
        self.durability_unmet = Counter(
            "headrace_bridge_durability_unmet",
            "Times that Valkey could not give the durability of spec.delivery: no disk, or too few replicas.",
            ["durability"],
            **at,
        )
        self.breaker_state = Gauge(
            "headrace_bridge_breaker_state",
            "State of a destination's circuit breaker: 0 closed, 1 half-open, 2 open.",
            ["destination"],
            **at,
        )
        self.breaker_opened = Counter(
            "headrace_bridge_breaker_opened", "How often a circuit breaker opened.", ["destination"], **at
        )
        self.consumer_failures = Counter(
            "pulsar_consumer_failures",
            "Messages that the consumer could not hand on, and batches it had to take again.",
            ["topic", "subscription", "reason"],
            **at,
        )
