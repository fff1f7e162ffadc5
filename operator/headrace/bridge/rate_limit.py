"""How many messages a bridge moves a second: a token bucket in Valkey that all its replicas share.

The scripts that take messages (cut.lua, deliver.lua) ask and pay it themselves (bucket.lua), by the server's clock.
"""

from __future__ import annotations

import time
from typing import Any

import valkey
from prometheus_client import Counter, Gauge

from headrace.api.policy import RateLimit
from headrace.bridge.metrics import BridgeMetrics

SAMPLE_SECONDS = 5.0


class TokenBucket:
    """The bucket of one bridge, or one that never empties when there is no limit."""

    def __init__(self, limit: RateLimit | None, prefix: str, metrics: BridgeMetrics) -> None:
        self.key = f"{prefix}:rate"
        """The hash that bucket.lua keeps: tokens, and when they were counted; the last of a script's keys."""
        self.arguments: tuple[int, int] = (limit.per_second, limit.most) if limit else (0, 0)
        """Tokens a second and the most of them; the last of a script's arguments."""
        self._sampled = 0.0
        if limit:
            self._waited = Counter(
                "headrace_bridge_rate_limit_wait_seconds",
                "Time for which nothing was taken because of the rate limit.",
                registry=metrics.registry,
            )
            self._tokens = Gauge(
                "headrace_bridge_rate_limit_tokens",
                "Messages that may be moved at once; 0 while the rate limit holds messages back.",
                registry=metrics.registry,
            )
            self._tokens.set(limit.most)

    def waited(self, seconds: float) -> None:
        """Messages waited for tokens."""
        self._waited.inc(seconds)

    def sample(self, client: valkey.Valkey) -> None:
        """Keep the series of tokens, every five seconds."""
        rate, most = self.arguments
        if not rate or time.monotonic() - self._sampled < SAMPLE_SECONDS:
            return
        self._sampled = time.monotonic()
        time_and_bucket: Any = (client.time(), client.hmget(self.key, ["tokens", "at"]))
        (seconds, micros), (tokens, at) = time_and_bucket
        if tokens is not None:
            passed = max(0, seconds * 1_000_000 + micros - int(at))
            self._tokens.set(max(0.0, min(most, float(tokens) + passed * rate / 1e6)))
