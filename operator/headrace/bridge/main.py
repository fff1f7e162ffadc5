"""``headrace bridge``: the process of a PulsarBridge's pod."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.circuit import VALKEY, Circuit
from headrace.bridge.client_log import client_log
from headrace.bridge.identity import Identity
from headrace.bridge.inlet import Inlet
from headrace.bridge.inward import Inward
from headrace.bridge.layouts import Layouts
from headrace.bridge.limits import MAX_MESSAGE_BYTES
from headrace.bridge.lines import dead_letter_line, source_lines
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.outward import DRAIN_SECONDS, Outward
from headrace.bridge.proof import Proof
from headrace.bridge.pulsar_client import connect
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.reception import Reception
from headrace.bridge.replay_lines import ReplayLines
from headrace.bridge.replay_loop import ReplayLoop
from headrace.bridge.shares import Shares
from headrace.bridge.source_claims import SourceClaims
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
    health = Health(metrics.connected, metrics.side_failures)
    admin = PulsarAdmin(bridge.spec.pulsar, secrets)
    raw = RawTopics.of(bridge.spec.pulsar, secrets)
    proof = Proof(client, client_log(), stop)
    proof.start()
    loops = _loops(bridge, server, client, admin, raw, health, metrics, stop, proof)
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
    raw: RawTopics,
    health: Health,
    metrics: BridgeMetrics,
    stop: Stop,
    proof: Proof,
) -> list[Identity | Inward | Outward | Reception | ReplayLoop | Shares | SourceClaims]:
    spec = bridge.spec
    prefix = bridge.key_prefix
    limit = int(os.environ.get("HEADRACE_MAX_MESSAGE_BYTES", MAX_MESSAGE_BYTES))
    identity = Identity(server, prefix, bridge.metadata.uid, health, stop)
    layouts = Layouts(client, stop)
    layouts.start()
    lines = ReplayLines(bridge, prefix, server, client, metrics, identity, layouts, proof, health, limit)
    replay = ReplayLoop(
        bridge, prefix, server, client, admin, raw, lines, health, metrics, stop, identity, limit, proof
    )
    bucket = TokenBucket(spec.rate_limit, prefix, metrics)

    def circuit(destination: str, *, shared: bool = True) -> Circuit:
        client = server.client()
        return Circuit(spec.circuit_breaker, destination, client, prefix, metrics, stop, shared=shared)

    if spec.source.valkey is not None:
        source = spec.source.valkey
        shares = Shares(server, prefix, source.shards, health, stop, identity)
        found = source_lines(bridge, prefix, limit)
        # what channels publish comes to every subscriber whole
        claims = SourceClaims(server, () if source.pub_sub else found, health, stop)
        moving = [
            Outward(
                line,
                server,
                client,
                health,
                metrics,
                stop,
                identity,
                layouts,
                proof,
                shares.of(line.shard) if source.pub_sub else claims.share(line, shares.of(line.shard)),
                bucket,
                circuit(line.sink_topic),
                raw,
            )
            for line in found
        ]
        if source.pub_sub is not None:
            received = Reception(source.pub_sub, prefix, moving[0].lease, server, health, metrics, stop)
            return [identity, *moving, received, replay]
        return [identity, claims, *moving, *([shares] if source.shards else []), replay]

    def to_valkey() -> Circuit:
        return circuit(VALKEY, shared=False)

    letters = dead_letter_line(bridge, prefix, limit)
    to_topic = circuit(letters.sink_topic)
    return [
        identity,
        *Inlet(
            bridge, prefix, server, client, admin, raw, health, metrics, stop, identity, bucket, to_valkey, proof
        ).loops(),
        Outward(
            letters,
            server,
            client,
            health,
            metrics,
            stop,
            identity,
            layouts,
            proof,
            circuit=to_topic,
            raw=raw,
        ),
        replay,
    ]


def _close(client: Client) -> None:
    try:
        client.close()
    except PulsarError as error:
        _log.debug("closing the client: %s", error)
