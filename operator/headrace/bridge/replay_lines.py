"""What replays of versions before 1.0 staged in Valkey still goes to Pulsar: for each topic an outbox and a line."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Any

from headrace.api.bridge_sink import Compression
from headrace.api.bridge_source import ListFormat, ListSource, ValkeySource
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.identity import Identity
from headrace.bridge.layouts import Layouts
from headrace.bridge.lines import Line
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.outward import DRAIN_SECONDS, Outward
from headrace.bridge.proof import Proof
from headrace.bridge.pulsar_library import Client
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import ValkeyServer


@dataclass(frozen=True)
class _Running:
    line: Outward
    stop: Stop
    thread: threading.Thread


class ReplayLines:
    """The lines of one bridge's replays. What was staged goes out: its letters have left the dead letters."""

    def __init__(
        self,
        bridge: PulsarBridge,
        prefix: str,
        server: ValkeyServer,
        pulsar_client: Client,
        metrics: BridgeMetrics,
        identity: Identity,
        layouts: Layouts,
        proof: Proof,
        health: Health,
        max_message_bytes: int,
    ) -> None:
        self._bridge = bridge
        self._prefix = f"{prefix}:replays"
        self._topics_key = f"{prefix}:replays:topics"
        self._server = server
        self._valkey = server.client()
        self._pulsar = pulsar_client
        self._metrics = metrics
        self._identity = identity
        self._layouts = layouts
        self._proof = proof
        self._health = health
        self._max_message_bytes = max_message_bytes
        self._running: dict[str, _Running] = {}

    def resume(self) -> None:
        """Run the lines of all topics that may have something waiting."""
        found: Any = self._valkey.smembers(self._topics_key)
        for topic in sorted(name.decode() for name in found):
            if topic not in self._running:
                self._start(topic)

    def waiting(self) -> list[str]:
        """Topics that have not got everything yet."""
        return [topic for topic, running in self._running.items() if running.line.waiting()]

    def cut_off(self) -> list[str]:
        """Topics that do not take messages now."""
        return [topic for topic, running in self._running.items() if running.line.cut_off]

    def close(self) -> None:
        """Stop all lines; what they have not published waits for the next start."""
        for running in self._running.values():
            running.stop.request()
        for running in self._running.values():
            running.thread.join(DRAIN_SECONDS)
        self._running.clear()

    def forget(self) -> None:
        """Everything is published: nothing needs to be resumed."""
        if self._running:
            self._valkey.srem(self._topics_key, *self._running)

    def _outbox(self, topic: str) -> str:
        return f"{self._prefix}:to:{_short(topic)}:outbox"

    def _start(self, topic: str) -> None:
        sink = self._bridge.spec.sink.pulsar
        line = Line(
            source=ValkeySource(list=ListSource(key=self._outbox(topic), format=ListFormat.OUTBOX)),
            prefix=f"{self._prefix}:to:{_short(topic)}",
            sink_topic=topic,
            dead_letter_topic=self._bridge.spec.dead_letter_topic,
            key=None,
            compression=sink.compression if sink else Compression.LZ4,
            # A name of its own for each topic: they share a producer of dead letters otherwise.
            identity=f"{self._bridge.identity}/replay/{_short(topic)}",
            main=False,
            max_message_bytes=self._max_message_bytes,
        )
        stop = Stop()
        outward = Outward(
            line,
            self._server,
            self._pulsar,
            self._health,
            self._metrics,
            stop,
            self._identity,
            self._layouts,
            self._proof,
        )
        thread = threading.Thread(target=outward.run, name=f"replay to {topic}", daemon=True)
        self._running[topic] = _Running(outward, stop, thread)
        thread.start()


def _short(topic: str) -> str:
    return hashlib.sha256(topic.encode()).hexdigest()[:12]
