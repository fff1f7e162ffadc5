"""Lifts the line above which ids of delivered messages are remembered to where a subscription has acknowledged all."""

from __future__ import annotations

import threading

from valkey.exceptions import ValkeyError

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.source_topics import PATIENCE_SECONDS, SourceTopics
from headrace.process.health import Health
from headrace.process.stop import Stop

PERIOD_SECONDS = 5.0


class AcknowledgedLine:
    """Asks the broker and tells Valkey, in a daemon thread. Every replica does: the line only ever rises.

    The broker alone knows where everything is acknowledged: a replica sees gaps between the messages that it gets.
    """

    def __init__(
        self, admin: PulsarAdmin, topics: SourceTopics, subscription: str, ids: DeliveredIds, health: Health, stop: Stop
    ) -> None:
        self._admin = admin
        self._topics = topics
        self._subscription = subscription
        self._ids = ids
        self._stop = stop
        loop = f"ids of {subscription}"
        self._at_valkey = health.standing(loop, "valkey", patience_seconds=PATIENCE_SECONDS)
        self._at_admin = health.standing(loop, "pulsar admin", patience_seconds=PATIENCE_SECONDS)

    def start(self) -> None:
        """Look every 5 s until the stop."""
        threading.Thread(target=self._run, name="acknowledged line", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            # while this fails, ids of delivered messages pile up in Valkey
            try:
                for topic in self._topics.names():
                    self._ids.lift(self._admin.acknowledged(topic, self._subscription))
                self._at_valkey.served()
                self._at_admin.served()
            except ValkeyError as error:
                self._at_valkey.failed(error)
            except ADMIN_TROUBLE as error:
                self._at_admin.failed(error)
