"""The account of a Failover subscription: each entry of its partitions was moved, or it is known why not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import valkey

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.batch import Batch
from headrace.bridge.cursor import BEGINNING, Cursor, Place
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.headers import Headers
from headrace.bridge.incomplete import IncompleteMessages
from headrace.bridge.lookout import Lookout
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.preparation import Prepare
from headrace.bridge.pulsar_library import Client
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.received_letter import Letters
from headrace.bridge.recovery import Recovery
from headrace.bridge.second_reading import SecondReading
from headrace.bridge.source_topics import SourceTopics
from headrace.bridge.subscription import Subscription
from headrace.bridge.unseen import Sources, Unseen
from headrace.process.logs import Seldom

_log = logging.getLogger(__name__)


class Account:
    """Kept by the loop that reads the subscription."""

    def __init__(
        self,
        bridge: PulsarBridge,
        subscription: Subscription,
        topics: SourceTopics,
        client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        discarded: Callable[[str], Collection[Place]],
        valkey_client: valkey.Valkey,
        store: DeliveryStore,
        prefix: str,
        prepare: Prepare,
        metrics: BridgeMetrics,
        tick: Callable[[], None],
        hold: Callable[[str], bool],
        is_same: Callable[[str], bool],
        *,
        exact: bool,
    ) -> None:
        """*tick* is called from time to time; *is_same* says whether a partition's topic is the one that is remembered;
        the rest: see :class:`Unseen`."""
        self._store = store
        self._subscription = subscription
        self._exact = exact
        self._begun: set[str] = set()
        self._seldom = Seldom(600)
        self._incomplete = IncompleteMessages(valkey_client, prefix)
        again = SecondReading(client, tick)
        name = subscription.name
        sources = Sources(name, admin, raw, discarded)
        letters = Letters(bridge, Headers(raw))
        recovery = Recovery(raw, again, self._incomplete, prepare, letters, metrics, name, sources.took_away)
        self._unseen = Unseen(sources, recovery, self._incomplete, hold, exact=exact)
        self._lookout = Lookout(
            sources,
            topics,
            subscription.consumer_name,
            self._unseen,
            self._incomplete,
            recovery,
            is_same,
            self._trouble,
        )

    def open(self) -> None:
        """A consumer is about to be opened. Raises what a Valkey raises that is away."""
        self._unseen.open()
        self._lookout.open()

    def knows(self, topic: str) -> bool:
        """Whether it is known where the subscription on *topic* began."""
        return self._exact and topic in self._begun

    def begin(self, topic: str, internal: Mapping[str, Any]) -> None:
        """What the admin API's `internalStats` say of the partitions of *topic*, before a consumer of it is opened.

        What the client cannot read it acknowledges itself: the mark may pass it before the first message comes.
        """
        for partition, stats in internal.items():
            if partition in self._store.marks:
                continue
            if cursor := Cursor.parse(stats, self._subscription.name):
                self._unseen.begins(partition, cursor)
            else:
                self._unseen.begins(partition, BEGINNING)
        self._begun.add(topic)

    def whole(self, batch: Batch) -> Iterator[Batch]:
        """*batch* with what was not given out in its place, in parts: see :meth:`Unseen.whole`."""
        self._lookout.busy()
        return self._unseen.whole(batch, lambda: self._store.marks, self._store.load)

    def look(self, *, idle: bool, settled: bool) -> Iterator[Batch]:
        """What was not given out at the ends of partitions: see :meth:`Lookout.look`."""
        return self._lookout.look(self._store.marks, idle=idle, settled=settled)

    def acknowledge(self, partition: str, places: Sequence[Place]) -> None:
        """Nothing: an acknowledgement stands for all before it."""

    def ceilings(self) -> dict[str, Place]:
        """For some partitions the entry that must not be acknowledged yet."""
        return self._incomplete.ceilings()

    def forget(self, partition: str) -> None:
        """The partition's topic is another one than before."""
        self._unseen.forget(partition)

    def _trouble(self, error: Exception) -> None:
        if self._seldom(str(error)):
            _log.warning("cannot look for messages that the client does not give out: %s", error)
