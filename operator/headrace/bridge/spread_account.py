"""What the client does not give out of a Shared or KeyShared subscription.

Each message is acknowledged by itself there, so nothing passes over what was not seen. But an encrypted entry stays
unacknowledged for ever, and the client asks for no other one in its stead until it receives nothing more. So entries
that the broker gave out long ago are looked at, each once: whoever may have it, an encrypted one nobody can read.

What it cannot uncompress, or what came damaged, the client acknowledges as soon as it comes, and tells it in its log
alone. So that is read, and then the entry once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any

from headrace.api.bridge_source import SubscriptionType
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.batch import Batch, apart, is_apart
from headrace.bridge.client_log import ClientLog
from headrace.bridge.cursor import Cursor, Place, Span, common, within
from headrace.bridge.headers import Headers
from headrace.bridge.incomplete import IncompleteMessages
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.preparation import Prepare
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.raw_entry import RawEntry
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.received_letter import Letters
from headrace.bridge.recovery import CORRUPT, SKIPPED, Recovery, ReopenError
from headrace.bridge.second_reading import SecondReading
from headrace.bridge.source_topics import SourceTopics
from headrace.bridge.subscription import Subscription
from headrace.process.logs import Seldom

PERIOD_SECONDS = 10.0
"""From one look to the next. What waits for its acknowledgement at two of them was given out long ago."""
SUSPICION_SECONDS = 2.0
"""The same where something waits, though nothing comes and nothing is in hand."""
MOST_LOOKED_AT = 200
"""Entries of a partition, at one look."""
NEAR_ENTRIES = 500
"""Entries that lie no further apart are read at once."""
MOST_BYTES = 8 * 1024 * 1024

_TROUBLE: tuple[type[Exception], ...] = (PulsarError, *ADMIN_TROUBLE, *RAW_TROUBLE)

_log = logging.getLogger(__name__)


class SpreadAccount:
    """Kept by the loop that reads the subscription. Not shared between threads."""

    def __init__(
        self,
        bridge: PulsarBridge,
        kind: SubscriptionType,
        subscription: Subscription,
        topics: SourceTopics,
        client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        log: ClientLog,
        incomplete: IncompleteMessages,
        prepare: Prepare,
        metrics: BridgeMetrics,
        tick: Callable[[], None],
    ) -> None:
        """*tick* is called from time to time."""
        self._subscription = subscription.name
        self._kind = kind
        self._consumer_name = subscription.consumer_name
        self._topics = topics
        self._admin = admin
        self._raw = raw
        again, letters = SecondReading(client, tick), Letters(bridge, Headers(raw))
        self._recovery = Recovery(
            raw, again, incomplete, prepare, letters, metrics, subscription.name, lambda _: SKIPPED
        )
        self._log = log
        self._discarded: dict[str, list[Place]] = {}
        self._waited: dict[str, Sequence[Span]] = {}
        self._readable: dict[str, set[Place]] = {}
        self._starved: set[str] = set()
        self._seldom = Seldom(600)
        self._next = 0.0

    def open(self) -> None:
        """A consumer is about to be opened."""
        self._starved = set()
        self._next = time.monotonic() + PERIOD_SECONDS

    def knows(self, topic: str) -> bool:
        """Nothing must be known of *topic* before."""
        return True

    def begin(self, topic: str, internal: Mapping[str, Any]) -> None:
        """See :meth:`knows`."""

    def whole(self, batch: Batch) -> Iterator[Batch]:
        """*batch*: others may have what lies between its messages."""
        yield batch

    def ceilings(self) -> dict[str, Place]:
        """None: each message is acknowledged by itself."""
        return {}

    def forget(self, partition: str) -> None:
        """The partition's topic is another one than before."""
        self._waited.pop(partition, None)
        self._readable.pop(partition, None)

    def acknowledge(self, partition: str, places: Sequence[Place]) -> None:
        """Acknowledge entries that the client never gave out."""
        if is_apart(partition):
            return  # the client did
        try:
            self._raw.acknowledge(partition, self._subscription, self._kind, places, cumulative=False)
        except RAW_TROUBLE as error:
            self._trouble(error)  # they are found again at the next look

    def look(self, *, idle: bool, settled: bool) -> Iterator[Batch]:
        """Dead letters of what nobody can read, once it is time; raises ``ReopenError`` when nothing can come any more.

        *idle*: nothing came for a while. *settled*: nothing waits to be acknowledged here.
        """
        yield from self._discards()
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PERIOD_SECONDS
        try:
            for topic in self._topics.names():
                internal = self._admin.internal_stats(topic)
                for partition, stats in self._admin.stats(topic).items():
                    if cursor := Cursor.parse(internal.get(partition, {"cursors": {}}), self._subscription):
                        found = self._partition(partition, cursor)
                        if idle and settled and self._doubtful(partition):
                            self._next = now + SUSPICION_SECONDS
                        if found:
                            settled = False
                            yield found
                    self._permits(partition, stats, idle=idle and settled)
        except _TROUBLE as error:
            self._trouble(error)

    def _doubtful(self, partition: str) -> bool:
        """Whether something waits there of which it is not known that somebody can read it."""
        return sum(map(len, self._waited[partition])) > len(self._readable[partition])

    def _partition(self, partition: str, cursor: Cursor) -> Batch | None:
        _, waiting = cursor.split(list(cursor.between(cursor.mark, cursor.read)))
        old = common(waiting, self._waited.get(partition, ()))
        self._waited[partition] = waiting
        known = self._readable[partition] = {
            place for place in self._readable.get(partition, ()) if within(waiting, place)
        }
        places = ((span.ledger, entry) for span in old for entry in range(span.first, span.last + 1))
        wanted = list(islice((each for each in places if each not in known), MOST_LOOKED_AT))
        if not wanted:
            return None
        encrypted: list[RawEntry] = []
        size = 0
        with self._raw.reading(partition, wanted[0]) as reading:
            for entry in reading.until(wanted[-1]):
                if entry.place in known or entry.place not in wanted:
                    continue
                if entry.encrypted:
                    encrypted.append(entry)
                else:
                    known.add(entry.place)
                size += entry.size
                if size > MOST_BYTES:
                    break
        return self._recovery.each(partition, encrypted) if encrypted else None

    def _discards(self) -> Iterator[Batch]:
        """What becomes of entries that the client acknowledged because it could not read them."""
        for partition, places in self._log.take_discarded(self._subscription).items():
            self._discarded.setdefault(partition, []).extend(places)
        for partition, places in list(self._discarded.items()):
            try:
                while places:
                    near = list(takewhile(partial(_is_near, places[0]), places))[:MOST_LOOKED_AT]
                    yield from self._discard(partition, near)
                    del places[: len(near)]
                del self._discarded[partition]
            except _TROUBLE as error:
                self._trouble(error)

    def _discard(self, partition: str, places: Sequence[Place]) -> Iterator[Batch]:
        left, size = set(places), 0
        entries: list[RawEntry] = []
        with self._raw.reading(partition, places[0]) as reading:
            for entry in reading.until(places[-1]):
                if entry.place in left:
                    left.remove(entry.place)
                    entries.append(entry)
                    size += entry.size
                if size > MOST_BYTES:
                    yield self._apart(partition, entries)
                    entries, size = [], 0
        if entries:
            yield self._apart(partition, entries)
        self._recovery.missed(partition, len(left), CORRUPT)

    def _apart(self, partition: str, entries: Sequence[RawEntry]) -> Batch:
        found = self._recovery.each(partition, entries)
        return Batch([apart(partition)] * len(found), found.ids, found.entries)

    def _permits(self, partition: str, stats: Mapping[str, Any], *, idle: bool) -> None:
        """Find out whether the client asks for nothing more, though it has nothing left."""
        consumers = stats["subscriptions"].get(self._subscription, {}).get("consumers", ())
        ours = [each for each in consumers if each["consumerName"] == self._consumer_name]
        if not idle or all(int(each["availablePermits"]) > 0 for each in ours):
            self._starved.discard(partition)
        elif partition in self._starved:
            raise ReopenError(f"{partition}: the client asks for no more messages")
        else:
            self._starved.add(partition)
            self._next = min(self._next, time.monotonic() + SUSPICION_SECONDS)

    def _trouble(self, error: Exception) -> None:
        if self._seldom(str(error)):
            _log.warning("cannot look for messages that the client does not give out: %s", error)


def _is_near(first: Place, place: Place) -> bool:
    return place[0] == first[0] and place[1] - first[1] < NEAR_ENTRIES
