"""End-to-end latency through the real bridge, at a load far below what it can do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.bench.bed import Bed
from tests.bench.figure import Figure

RATE = 1000
"""Messages a second."""
WARM_UP = 1000
"""Messages at the beginning of each window that do not count."""
BYTES = 200
MODULE = "tests.bench.open_loop"

Latencies = dict[str, Figure]
"""``p50``, ``p99`` and ``max`` in milliseconds, a run for each window."""


def list_to_pulsar(bed: Bed, windows: int, seconds: int) -> Latencies:
    """From the moment an entry is due in the list until a reader of the topic has it."""
    source, topic = bed.unique("latency"), bed.sink_topic(bed.unique("latency"))
    ends = {"valkey": {"list": {"key": source}}}, {"pulsar": {"topic": topic}}
    sender = {"valkey_url": bed.valkey.url, "target": source}
    receiver = {"service_url": bed.pulsar.service_url, "topic": topic}
    with bed.bridge(bed.unique("latency"), *ends) as bridge:
        bridge.wait_until_ready()
        return _windows(bed, sender, receiver, windows, seconds)


def pulsar_to_list(bed: Bed, windows: int, seconds: int) -> Latencies:
    """From the moment a message is due at the topic, unbatched, until a consumer of the list has it."""
    topic, target = bed.sink_topic(bed.unique("latency")), bed.unique("latency")
    ends = {"pulsar": {"topic": topic, "subscription": "bench"}}, {"valkey": {"list": {"key": target}}}
    sender = {"service_url": bed.pulsar.service_url, "topic": topic}
    receiver = {"valkey_url": bed.valkey.url, "source": target}
    with bed.bridge(bed.unique("latency"), *ends) as bridge:
        bridge.wait_until_ready()
        return _windows(bed, sender, receiver, windows, seconds)


def pulsar_alone(bed: Bed, windows: int, seconds: int) -> Latencies:
    """Without a bridge: from the moment a message is due at the topic, unbatched, until a reader of it has it."""
    topic = bed.sink_topic(bed.unique("latency"))
    ends = {"service_url": bed.pulsar.service_url, "topic": topic}
    return _windows(bed, ends, ends, windows, seconds)


MEASURES: dict[str, Callable[[Bed, int, int], Latencies]] = {
    "pulsar_alone": pulsar_alone,
    "list_to_pulsar": list_to_pulsar,
    "pulsar_to_list": pulsar_to_list,
}


def _windows(bed: Bed, sender: dict[str, Any], receiver: dict[str, Any], windows: int, seconds: int) -> Latencies:
    found = [_window(bed, sender, receiver, seconds * RATE + WARM_UP) for _ in range(windows)]
    return {name: Figure.of([each[name] for each in found]) for name in ("p50", "p99", "max")}


def _window(bed: Bed, sender: dict[str, Any], receiver: dict[str, Any], count: int) -> dict[str, float]:
    with bed.child(MODULE, "receive", {"count": count, "skip": WARM_UP, **receiver}) as receiving:
        assert _line(receiving) == "ready"
        with bed.child(MODULE, "send", {"rate": RATE, "count": count, "size": BYTES, **sender}):
            found: dict[str, float] = json.loads(_line(receiving))
    return found


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, "the receiver ended: see above"
    return line.strip()
