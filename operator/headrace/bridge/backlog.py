"""How much waits at a bridge's source topics, as the broker's admin API says."""

from __future__ import annotations

import logging
import threading

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.source_topics import SourceTopics
from headrace.process.logs import Seldom
from headrace.process.stop import Stop

PERIOD_SECONDS = 15.0

_log = logging.getLogger(__name__)


class SubscriptionBacklog:
    """Keeps ``headrace_bridge_backlog`` of a bridge that reads from Pulsar, in a daemon thread."""

    def __init__(
        self, admin: PulsarAdmin, topics: SourceTopics, subscription: str, metrics: BridgeMetrics, stop: Stop
    ) -> None:
        self._admin = admin
        self._topics = topics
        self._subscription = subscription
        self._metrics = metrics
        self._stop = stop
        self._seldom = Seldom(600)

    def start(self) -> None:
        """Look every 15 s until the stop."""
        threading.Thread(target=self._run, name="backlog", daemon=True).start()

    def _run(self) -> None:
        while not self._stop:
            try:
                topics = self._topics.names()
                self._metrics.backlog.set(sum(self._admin.backlog(topic, self._subscription) for topic in topics))
            except ADMIN_TROUBLE as error:
                # the series keeps its last value: the alert on it must not go silent with the admin API
                if self._seldom(str(error)):
                    _log.warning("cannot read the backlog from %s: %s", self._admin.url, error)
            self._stop.wait(PERIOD_SECONDS)
