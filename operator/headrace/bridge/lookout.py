"""Looks at the ends of partitions while nothing comes.

What the client does not give out has no message behind it there by which it would be missed. And a client that does not
ask for others in the stead of such messages receives nothing more after enough of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from headrace.api.bridge_source import SubscriptionType
from headrace.bridge.admin import ADMIN_TROUBLE
from headrace.bridge.batch import NOWHERE, Batch, Position
from headrace.bridge.cursor import Cursor, Place
from headrace.bridge.incomplete import IncompleteMessages
from headrace.bridge.raw_topic import RAW_TROUBLE
from headrace.bridge.recovery import INCOMPLETE, Recovery, ReopenError
from headrace.bridge.source_topics import SourceTopics
from headrace.bridge.unseen import Sources, UnansweredError, Unseen

PERIOD_SECONDS = 15.0
SUSPICION_SECONDS = 2.0
"""From one look to the next where something waits that did not come."""

_TROUBLE: tuple[type[Exception], ...] = (UnansweredError, *ADMIN_TROUBLE, *RAW_TROUBLE)


class Lookout:
    """For one consumer of a Failover subscription. Not shared between threads."""

    def __init__(
        self,
        sources: Sources,
        topics: SourceTopics,
        consumer_name: str,
        unseen: Unseen,
        incomplete: IncompleteMessages,
        recovery: Recovery,
        is_same: Callable[[str], bool],
        trouble: Callable[[Exception], None],
    ) -> None:
        """*is_same*: whether a partition's topic is the one that is remembered. *trouble* is told why a look was not
        possible."""
        self._sources = sources
        self._topics = topics
        self._consumer_name = consumer_name
        self._unseen = unseen
        self._incomplete = incomplete
        self._recovery = recovery
        self._is_same = is_same
        self._trouble = trouble
        self._before: dict[str, tuple[Place, Place]] = {}
        self._next = 0.0

    def open(self) -> None:
        """The consumer was opened."""
        self._before = {}
        self._next = time.monotonic() + SUSPICION_SECONDS

    def busy(self) -> None:
        """Something came."""
        self._before = {}
        if not self._incomplete:
            self._next = time.monotonic() + SUSPICION_SECONDS

    def look(self, marks: Mapping[str, Position], *, idle: bool, settled: bool) -> Iterator[Batch]:
        """What was not given out at the ends of partitions, once it is time.

        *idle*: nothing waits to be moved here. *settled*: nor to be acknowledged. *marks*: how far partitions are
        accounted for. Raises like :meth:`Unseen.whole`.
        """
        now = time.monotonic()
        if now < self._next or not (idle or self._incomplete):
            return
        self._next = now + PERIOD_SECONDS
        try:
            for partition, cursor, permits in self._ours():
                self._release(partition, cursor)
                if idle:
                    mark = marks.get(partition, NOWHERE)[:2]
                    yield from self._partition(partition, cursor, mark, permits, settled=settled)
        except _TROUBLE as error:
            self._trouble(error)

    def _ours(self) -> Iterator[tuple[str, Cursor, int]]:
        """Partitions that this consumer reads, where the subscription stands, and how many messages more the consumer
        asks for."""
        name = self._sources.subscription
        for topic in self._topics.names():
            internal = self._sources.admin.internal_stats(topic)
            for partition, stats in self._sources.admin.stats(topic).items():
                subscription = stats["subscriptions"].get(name, {})
                if subscription.get("activeConsumerName") != self._consumer_name:
                    continue
                cursor = Cursor.parse(internal[partition], name)
                ours = [each for each in subscription["consumers"] if each["consumerName"] == self._consumer_name]
                if cursor and ours:
                    yield partition, cursor, int(ours[0]["availablePermits"])

    def _partition(
        self, partition: str, cursor: Cursor, mark: Place, permits: int, *, settled: bool
    ) -> Iterator[Batch]:
        known = max(self._unseen.last(partition) or NOWHERE[:2], mark)
        last = known if known[0] >= 0 else cursor.mark
        hidden = any(cursor.between(last, cursor.read))
        if (hidden or cursor.mark < last) and not self._is_same(partition):
            return  # what is known is perhaps known of another topic of this name
        if hidden:
            # what the broker sent may still be on its way: it must be the same at two looks
            self._soon()
            if self._before.get(partition) == (last, cursor.read):
                yield from self._unseen.end(partition, last, cursor.read)
        elif settled and cursor.mark < last and partition not in self._incomplete.ceilings():
            # a message of ours whose acknowledgement was lost, or a dead letter that no message came behind
            self._sources.raw.acknowledge(
                partition, self._sources.subscription, SubscriptionType.FAILOVER, [last], cumulative=True
            )
            self._soon()
        elif permits <= 0:
            # the client asks for others in the stead of messages that it gives out, and of no encrypted ones
            raise ReopenError(f"{partition}: the client asks for no more messages")
        self._before[partition] = last, cursor.read

    def _soon(self) -> None:
        self._next = min(self._next, time.monotonic() + SUSPICION_SECONDS)

    def _release(self, partition: str, cursor: Cursor) -> None:
        """The client acknowledges what is incomplete for a minute: nobody waits for it any more."""
        for each in self._incomplete.all():
            if each.partition == partition and each.awaited and cursor.has_acknowledged(each.first):
                each.awaited = False
                self._incomplete.keep([each])
                self._recovery.missed(partition, len(each.places), INCOMPLETE)
