"""Lifts the line above which ids of delivered messages are remembered to where a subscription has acknowledged all."""

from __future__ import annotations

import threading

import valkey
from valkey.exceptions import ValkeyError

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.client_log import ClientLog
from headrace.bridge.company import Company
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.incarnation import Incarnations, Verdict
from headrace.bridge.pulsar_library import PulsarError
from headrace.bridge.remembered import Memory, Remembered
from headrace.bridge.source_topics import PATIENCE_SECONDS, SourceTopics
from headrace.process.health import Health
from headrace.process.stop import Stop

PERIOD_SECONDS = 5.0


class AcknowledgedLine:
    """Asks the broker and tells Valkey, in a daemon thread. Every replica does: the line only ever rises.

    The broker alone knows where everything is acknowledged: a replica sees gaps between the messages that it gets. What
    it says counts where it is sure to speak of the topic that is remembered: the admin API shows our consumer, the
    topic holds the witness, and the client did not connect to another one meanwhile.
    """

    def __init__(
        self,
        admin: PulsarAdmin,
        topics: SourceTopics,
        company: Company,
        incarnations: Incarnations,
        log: ClientLog,
        client: valkey.Valkey,
        remembered: Remembered,
        health: Health,
        stop: Stop,
    ) -> None:
        self._admin = admin
        self._topics = topics
        self._company = company
        self._incarnations = incarnations
        self._log = log
        self._remembered = remembered
        self._ids = DeliveredIds(client, remembered)
        self._stop = stop
        self._sure: dict[str, int] = {}
        loop = f"ids of {company.subscription}"
        self._at_valkey = health.standing(loop, "valkey", patience_seconds=PATIENCE_SECONDS)
        self._at_admin = health.standing(loop, "pulsar admin", patience_seconds=PATIENCE_SECONDS)

    def start(self) -> None:
        """Look every 5 s until the stop."""
        threading.Thread(target=self._run, name="acknowledged line", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            # while this fails, ids of delivered messages pile up in Valkey
            try:
                self._ids.prove()
                for topic in self._topics.names():
                    self._lift(topic)
                    self._at_valkey.served()
                    self._at_admin.served()
            except ValkeyError as error:
                self._at_valkey.failed(error)
            except (*ADMIN_TROUBLE, PulsarError) as error:
                self._at_admin.failed(error)

    def _lift(self, topic: str) -> None:
        subscription = self._company.subscription
        memory = self._remembered.load()
        connections = self._log.connections(subscription)
        marks = self._admin.acknowledged(topic, subscription)
        ours = self._company.ours(topic)
        sure = {
            partition: mark
            for partition, mark in marks.items()
            if partition in ours and self._is_same(partition, memory, connections.get(partition, 0))
        }
        if self._log.connections(subscription) == connections:
            self._ids.lift(memory, sure)

    def _is_same(self, partition: str, memory: Memory, connection: int) -> bool:
        """Whether the topic that the client is connected to is the one that is remembered."""
        witness = memory.witnesses.get(partition)
        if not connection or witness is None:
            return False
        if self._sure.get(partition) != connection:
            # nothing of what is gone from the topic can come again: the line may pass over it
            if self._incarnations.judge(partition, witness.position, witness) is Verdict.OTHER:
                return False
            self._sure[partition] = connection
        return True
