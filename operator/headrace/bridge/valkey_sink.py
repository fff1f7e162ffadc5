"""The sink of a bridge from Pulsar, as its resource says."""

from __future__ import annotations

import valkey

from headrace.api.policy import WINDOW_SECONDS
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.remembered import Remembered
from headrace.bridge.target import target_of


def open_store(
    bridge: PulsarBridge,
    prefix: str,
    client: valkey.Valkey,
    remembered: Remembered,
    bucket: TokenBucket | None = None,
    *,
    once: bool = True,
    spread: bool = False,
) -> DeliveryStore:
    """What pushes to the sink of *bridge*. *once*, *spread*: see :class:`DeliveryStore`."""
    spec = bridge.spec
    assert spec.sink.valkey is not None
    return DeliveryStore(
        client,
        remembered,
        target=target_of(spec.sink.valkey),
        prefix=prefix,
        window_seconds=spec.deduplicate.window_seconds if spec.deduplicate else WINDOW_SECONDS,
        ttl_seconds=spec.cache.ttl_seconds if spec.cache else WINDOW_SECONDS,
        cache_prefix=spec.cache.prefix if spec.cache else "",
        keyed=spec.deduplicate is not None,
        once=once,
        spread=spread,
        bucket=bucket,
    )
