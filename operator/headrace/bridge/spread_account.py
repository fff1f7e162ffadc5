"""What the client does not give out of a Shared or KeyShared subscription.

Each message is acknowledged by itself there, so nothing passes over what was not seen. But an encrypted entry stays
unacknowledged for ever, and the client asks for no other one in its stead until it receives nothing more. So entries
that the broker gave out long ago are looked at, each once: whoever may have it, an encrypted one nobody can read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from headrace.api.bridge_source import SubscriptionType
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.batch import Batch
from headrace.bridge.cursor import Cursor, Place, Span, common, within
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.received_letter import Letters
from headrace.bridge.recovery import ReopenError, encrypted_letter
from headrace.bridge.source_topics import SourceTopics
from headrace.process.logs import Seldom

PERIOD_SECONDS = 10.0
"""From one look to the next. What waits for its acknowledgement at two of them was given out long ago."""
SUSPICION_SECONDS = 2.0
"""The same where something waits, though nothing comes and nothing is in hand."""
MOST_LOOKED_AT = 200
"""Entries of a partition, at one look."""
MOST_BYTES = 8 * 1024 * 1024

_log = logging.getLogger(__name__)


class SpreadAccount:
    """Kept by the loop that reads the subscription. Not shared between threads."""

    def __init__(
        self,
        subscription: str,
        kind: SubscriptionType,
        consumer_name: str,
        topics: SourceTopics,
        admin: PulsarAdmin,
        raw: RawTopics,
        letters: Letters,
    ) -> None:
        self._subscription = subscription
        self._kind = kind
        self._consumer_name = consumer_name
        self._topics = topics
        self._admin = admin
        self._raw = raw
        self._letters = letters
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
        try:
            self._raw.acknowledge(partition, self._subscription, self._kind, places, cumulative=False)
        except RAW_TROUBLE as error:
            self._trouble(error)  # they are found again at the next look

    def look(self, *, idle: bool, settled: bool) -> Iterator[Batch]:
        """Dead letters of what nobody can read, once it is time; raises ``ReopenError`` when nothing can come any more.

        *idle*: nothing came for a while. *settled*: nothing waits to be acknowledged here.
        """
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
        except (*ADMIN_TROUBLE, *RAW_TROUBLE) as error:
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
        found: list[Batch] = []
        size = 0
        with self._raw.reading(partition, wanted[0]) as reading:
            for entry in reading.until(wanted[-1]):
                if entry.place in known or entry.place not in wanted:
                    continue
                if entry.encrypted:
                    found.append(encrypted_letter(self._letters, entry))
                else:
                    known.add(entry.place)
                size += entry.size
                if size > MOST_BYTES:
                    break
        return Batch.joined(found) if found else None

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
