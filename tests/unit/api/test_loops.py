"""A bridge never reads its own letters."""

from typing import Any

import pytest

from headrace.api.pulsar_bridge import PulsarBridgeSpec

BRIDGE: dict[str, Any] = {
    "sink": {"valkey": {"list": {"key": "orders"}}},
    "valkey": {"url": "valkey://valkey:6379/0"},
    "pulsar": {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"},
    "cache": {"key": "id", "prefix": "order:", "ttlSeconds": 60},
}


@pytest.mark.parametrize("letters", ["persistent://a/b/x-letters", "persistent://a/b/x-letters-partition-0"])
def test_p1_a_pattern_never_means_the_bridge_s_own_letters(letters: str) -> None:
    source = {"pulsar": {"topicsPattern": "persistent://a/b/.*", "subscription": "s"}}
    topics = {"deadLetter": {"topic": letters}, "retry": {"topic": "persistent://a/b/x-again"}}
    spec = PulsarBridgeSpec.model_validate({**BRIDGE, **topics, "source": source})
    names = ("x", "x-letters", "x-letters-partition-0", "x-letters-partition-12", "x-again", "x-again-partition-1")
    assert [name for name in names if spec.consumes(f"persistent://a/b/{name}")] == ["x"]
    assert spec.consumes("persistent://a/b/x-letters-partition-x")
