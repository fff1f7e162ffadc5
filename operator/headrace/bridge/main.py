"""``headrace bridge``: the process of a PulsarBridge's pod."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from headrace.api.bridge_sink import Compression
from headrace.api.bridge_source import ListFormat, ListSource, ValkeySource
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.inlet import inlet
from headrace.bridge.inward import Inward
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.outward import DRAIN_SECONDS, Line, Outward
from headrace.bridge.pulsar_client import connect
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.reception import Reception
from headrace.bridge.replay_lines import ReplayLines
from headrace.bridge.replay_loop import ReplayLoop
from headrace.bridge.routing import MAX_MESSAGE_BYTES
from headrace.process import logs
from headrace.process.configuration import FatalConfigurationError, Secrets, load, report_fatal
from headrace.process.health import Health
from headrace.process.http import ProbeServer
from headrace.process.metrics import exposition
from headrace.process.stop import Stop
from headrace.process.valkey_server import ValkeyServer

END_SECONDS = DRAIN_SECONDS + 5

_log = logging.getLogger(__name__)


def run(config: str | Path) -> int:
    """Run the bridge until SIGTERM; returns the exit status: 0, or 78 when the configuration is wrong."""
    secrets = Secrets()
    logs.configure(secrets.values)
    try:
        bridge = load(PulsarBridge, config)
        logs.configure(secrets.values, bridge.identity)
        server = ValkeyServer.of(bridge.spec.valkey, secrets)
        client = connect(bridge.spec.pulsar, secrets)
        return _serve(bridge, secrets, server, client)
    except FatalConfigurationError as error:
        return report_fatal(error)


def _serve(bridge: PulsarBridge, secrets: Secrets, server: ValkeyServer, client: Client) -> int:
    stop = Stop()
    stop.on_signals()
    metrics = BridgeMetrics()
    health = Health(("valkey", "pulsar"), metrics.connected)
    admin = PulsarAdmin(bridge.spec.pulsar, secrets)
    loops = _loops(bridge, server, client, admin, health, metrics, stop)
    probes = ProbeServer(health, lambda: exposition(metrics.registry, bridge))
    threads = [threading.Thread(target=loop.run, name=f"loop {number}") for number, loop in enumerate(loops)]
    for thread in threads:
        thread.daemon = True
        thread.start()
    health.register()
    _log.info("started")
    while not stop.wait(3600):
        pass
    _log.info("stopping")
    deadline = time.monotonic() + END_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    closing = threading.Thread(target=_close, args=(client,), daemon=True)
    closing.start()
    closing.join(5.0)
    probes.close()
    clean = not closing.is_alive() and not any(thread.is_alive() for thread in threads)
    _log.info(
        "stopped" if clean else "stopped while a broker was away; what was in flight is replayed at the next start"
    )
    if not clean:
        # a thread hangs inside the Pulsar client, which would wait for it for ever
        logging.shutdown()
        os._exit(0)
    return 0


def _loops(
    bridge: PulsarBridge,
    server: ValkeyServer,
    client: Client,
    admin: PulsarAdmin,
    health: Health,
    metrics: BridgeMetrics,
    stop: Stop,
) -> list[Inward | Outward | Reception | ReplayLoop]:
    spec = bridge.spec
    prefix = f"headrace:{{{bridge.metadata.namespace}/{bridge.metadata.name}}}"
    limit = int(os.environ.get("HEADRACE_MAX_MESSAGE_BYTES", MAX_MESSAGE_BYTES))
    lines = ReplayLines(bridge, prefix, server, client, metrics, limit)
    replay = ReplayLoop(bridge, prefix, server, client, admin, lines, health, metrics, stop)
    if spec.source.valkey is not None:
        assert spec.sink.pulsar is not None
        line = Line(
            source=spec.source.valkey,
            prefix=prefix,
            sink_topic=spec.sink.pulsar.topic,
            dead_letter_topic=spec.dead_letter_topic,
            key=spec.sink.pulsar.key,
            compression=spec.sink.pulsar.compression,
            batching=spec.sink.pulsar.batching,
            identity=bridge.identity,
            max_message_bytes=limit,
            envelope=spec.sink.pulsar.envelope,
            properties=spec.sink.pulsar.properties,
            event_time=spec.sink.pulsar.event_time,
            chunking=spec.sink.pulsar.chunking,
        )
        outward = Outward(line, server, client, health, metrics, stop)
        channels = spec.source.valkey.pub_sub
        if channels is None:
            return [outward, replay]
        return [outward, Reception(channels, prefix, outward.lease, server, health, metrics, stop), replay]
    letters = Line(
        source=ValkeySource(list=ListSource(key=f"{prefix}:dead-letters", format=ListFormat.OUTBOX)),
        prefix=f"{prefix}:dead-letters",
        sink_topic=spec.dead_letter_topic,
        dead_letter_topic=spec.dead_letter_topic,
        key=None,
        compression=Compression.LZ4,
        identity=bridge.identity,
        main=False,
        max_message_bytes=limit,
    )
    return [
        inlet(bridge, prefix, server, client, admin, health, metrics, stop),
        Outward(letters, server, client, health, metrics, stop),
        replay,
    ]


def _close(client: Client) -> None:
    try:
        client.close()
    except PulsarError as error:
        _log.debug("closing the client: %s", error)
