"""The rate limit: one token bucket for all replicas, by Valkey's clock. With real brokers and real processes."""

import json
import uuid
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from valkey.commands.core import Script

from headrace.api.policy import RateLimit
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.scripts import script
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import (
    Processes,
    connections,
    create_topic,
    payloads,
    publish,
    read_topic,
    resource,
    wait_for,
)

RATE, BURST, COUNT = 400, 100, 1300
SHORTEST = (COUNT - BURST) / RATE
"""Seconds that COUNT messages need at least, whatever the machine does."""


def bridge(valkey: Valkey, pulsar: Pulsar, source: Any, sink: Any) -> dict[str, Any]:
    limit = {"rateLimit": {"perSecond": RATE, "burst": BURST}}
    return resource("PulsarBridge", "slow", {"source": source, "sink": sink, **connections(valkey, pulsar), **limit})


def now(valkey: Valkey) -> float:
    """Seconds since the epoch by the server's clock."""
    with valkey.client() as client:
        seconds, microseconds = cast(Any, client.time())
    return float(seconds + microseconds / 1e6)


def test_to_pulsar_the_rate_holds_over_replicas_and_kills(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/rate-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-DLQ")
    document = bridge(valkey, pulsar, {"valkey": {"list": {"key": "orders"}}}, {"pulsar": {"topic": topic}})
    first = processes.start("bridge", document).wait_until_ready()
    second = processes.start("bridge", document).wait_until_ready()
    entries = [str(number) for number in range(COUNT)]
    with valkey.client() as client:
        began = now(valkey)
        client.lpush("orders", *entries)
        wait_for(lambda: client.llen("orders") < COUNT - 2 * BURST, "some messages")
        assert first.metric("headrace_bridge_rate_limit_wait_seconds_total", name="slow") > 0
        assert first.metric("headrace_bridge_rate_limit_tokens") <= BURST
        first.kill()
        client.delete("headrace:{test/slow}:lease")  # the killed one's, to save the seconds
        wait_for(lambda: client.llen("orders") + client.llen("headrace:{test/slow}:cut") == 0, "everything", 60)
    assert payloads(pulsar, topic) == entries
    seconds = max(message.publish_timestamp() for message in read_topic(pulsar, topic)) / 1000 - began
    assert SHORTEST <= seconds <= 10 * SHORTEST
    assert second.metric("headrace_bridge_rate_limit_wait_seconds_total") > 0


def test_to_valkey_replicas_that_work_at_once_share_the_rate(
    valkey: Valkey, pulsar: Pulsar, processes: Processes
) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/rate-{uuid.uuid4().hex[:8]}", partitions=2)
    create_topic(pulsar, f"{topic}-s-DLQ")
    source = {"pulsar": {"topic": topic, "subscription": "s"}}
    document = bridge(valkey, pulsar, source, {"valkey": {"list": {"key": "orders"}}})
    running = [processes.start("bridge", document).wait_until_ready() for _ in range(2)]
    began = now(valkey)
    publish(pulsar, topic, {str(number): json.dumps(number).encode() for number in range(COUNT)})
    with valkey.client() as client:
        wait_for(lambda: client.llen("orders") == COUNT, "everything", 60)
        seconds = now(valkey) - began
        assert sorted(map(int, cast(list[str], client.lrange("orders", 0, -1)))) == list(range(COUNT))
    assert SHORTEST <= seconds <= 10 * SHORTEST
    moved = [each.metric("headrace_bridge_forwarded_total", status="success") for each in running]
    assert sum(moved) == COUNT
    assert all(moved), "both worked"
    assert sum(each.metric("headrace_bridge_rate_limit_wait_seconds_total") for each in running) > 0


class Takes:
    """Calls the bucket as the scripts do: *wanted* messages are taken, or as many as may be."""

    def __init__(self, valkey: Valkey, rate: int, burst: int) -> None:
        metrics = BridgeMetrics()
        assert isinstance(metrics.registry, CollectorRegistry)
        self.client = valkey.client()
        self.bucket = TokenBucket(RateLimit(per_second=rate, burst=burst), "test", metrics)
        front = cast(str, script(self.client, "preflight", "bucket").script)
        body = """
            local wanted = tonumber(ARGV[1])
            local allowed, wait = allowance(wanted)
            return {allowed, allowed > 0 and spend(allowed, wanted) or wait}
        """
        self.script: Script = self.client.register_script(front + body)

    def __call__(self, wanted: int) -> tuple[int, int]:
        allowed, wait = self.script(keys=[self.bucket.key], args=[wanted, *self.bucket.arguments])
        return allowed, wait


def test_a_bucket_starts_full_and_tells_how_long_to_wait(valkey: Valkey) -> None:
    take = Takes(valkey, rate=1, burst=10)
    assert take(3) == (3, 0)
    assert take.client.hget("test:rate", "held") is None
    assert_short(take(100), 7)
    assert_short(take(100), 0)
    assert int(cast(str, take.client.hget("test:rate", "held"))) > 0


def assert_short(answer: tuple[int, int], allowed: int) -> None:
    assert answer[0] == allowed
    assert 0 < answer[1] <= 1000


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_a_bucket_outlives_a_clock_that_jumps(valkey: Valkey, shift: int) -> None:
    take = Takes(valkey, rate=1000, burst=10)
    take(10)
    # a clock that went back by an hour looks like a bucket that was counted in an hour
    take.client.hset("test:rate", "at", str(int((now(valkey) - shift) * 1e6)))
    assert take(100)[0] <= 10
    assert wait_for(lambda: take(1)[0], "tokens come again", 5) == 1
