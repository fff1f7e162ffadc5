"""How much waits at a subscription, as the broker's admin API says."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import urllib.request
from typing import Any
from urllib.parse import quote

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.metrics import BridgeMetrics
from headrace.process.configuration import Secrets
from headrace.process.logs import Seldom
from headrace.process.stop import Stop

PERIOD_SECONDS = 15.0
TIMEOUT_SECONDS = 10.0

_log = logging.getLogger(__name__)


class SubscriptionBacklog:
    """Keeps ``headrace_bridge_backlog`` of a bridge that reads from Pulsar, in a daemon thread."""

    def __init__(self, bridge: PulsarBridge, secrets: Secrets, metrics: BridgeMetrics, stop: Stop) -> None:
        source, connection = bridge.spec.source.pulsar, bridge.spec.pulsar
        assert source is not None
        parts = source.topic.removeprefix("persistent://").split("/", 2)
        path = "/".join(quote(part, safe="") for part in parts)
        self._base = f"{connection.admin_url.rstrip('/')}/admin/v2/persistent/{path}"
        self._subscription = source.subscription
        self._headers = {"Accept": "application/json"}
        if connection.auth:
            self._headers["Authorization"] = f"Bearer {secrets.read('pulsar/token')}"
        ca_file = str(secrets.path("pulsar-ca/ca.crt")) if connection.tls else None
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._metrics = metrics
        self._stop = stop
        self._seldom = Seldom(600)

    def start(self) -> None:
        """Look every 15 s until the stop."""
        threading.Thread(target=self._run, name="backlog", daemon=True).start()

    def _run(self) -> None:
        while not self._stop:
            try:
                self._metrics.backlog.set(self._read())
            except (OSError, ValueError, KeyError, TypeError) as error:
                # the series keeps its last value: the alert on it must not go silent with the admin API
                if self._seldom(str(error)):
                    _log.warning("cannot read the backlog from %s: %s", self._base, error)
            self._stop.wait(PERIOD_SECONDS)

    def _read(self) -> int:
        partitions = int(self._get("/partitions")["partitions"])
        kind = "/partitioned-stats?perPartition=false&" if partitions else "/stats?"
        stats = self._get(f"{kind}getPreciseBacklog=true")
        return int(stats["subscriptions"].get(self._subscription, {}).get("msgBacklog", 0))

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self._base + path, headers=self._headers)  # noqa: S310 - http or https by the API's own rule
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._tls) as response:  # noqa: S310
            return json.load(response)
