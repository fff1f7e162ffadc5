"""Lifts the line above which ids of delivered messages are remembered to where a subscription has acknowledged all."""

from __future__ import annotations

import logging
import threading

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.source_topics import SourceTopics
from headrace.process.logs import Seldom
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE

PERIOD_SECONDS = 5.0

_log = logging.getLogger(__name__)


class AcknowledgedLine:
    """Asks the broker and tells Valkey, in a daemon thread. Every replica does: the line only ever rises.

    The broker alone knows where everything is acknowledged: a replica sees gaps between the messages that it gets.
    """

    def __init__(
        self, admin: PulsarAdmin, topics: SourceTopics, subscription: str, ids: DeliveredIds, stop: Stop
    ) -> None:
        self._admin = admin
        self._topics = topics
        self._subscription = subscription
        self._ids = ids
        self._stop = stop
        self._seldom = Seldom(600)

    def start(self) -> None:
        """Look every 5 s until the stop."""
        threading.Thread(target=self._run, name="acknowledged line", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            try:
                for topic in self._topics.names():
                    self._ids.lift(self._admin.acknowledged(topic, self._subscription))
            except VALKEY_TROUBLE + ADMIN_TROUBLE as error:
                if self._seldom(str(error)):
                    _log.warning("cannot forget ids of delivered messages, which pile up in Valkey: %s", error)
