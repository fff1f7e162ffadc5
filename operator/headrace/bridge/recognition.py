"""Makes sure of a partition's topic before a message of it is dropped as one that was pushed before.

The client connects again by itself, to whatever has the topic's name by then. So what was found out about a topic holds
for one connection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from headrace.api.topic import base_topic
from headrace.bridge.batch import Position
from headrace.bridge.client_log import ClientLog
from headrace.bridge.incarnation import Incarnations, Verdict, Witness


class AnotherTopicError(Exception):
    """The topic of ``partition`` is not the one that is remembered."""

    def __init__(self, partition: str, mark: Position) -> None:
        super().__init__(
            f"{partition} was made anew, or is that of another cluster: it is not the topic in which {mark} was pushed"
        )
        self.partition = partition


class UncertainTopicError(Exception):
    """The topic may be the one that is remembered, or not: ask once more, by another consumer."""


class Known(Protocol):
    """What is remembered of topics."""

    def known(self, partition: str) -> tuple[Position, Witness | None] | None:
        """Up to where, and by which message, *partition* is remembered; None when it is not."""


class Recognition:
    """Of one consumer after the other."""

    def __init__(self, log: ClientLog, incarnations: Incarnations, subscription: str, known: Known) -> None:
        self._log = log
        self._incarnations = incarnations
        self._subscription = subscription
        self._known = known
        self._topics: frozenset[str] = frozenset()
        self._total = 0
        self._before: Mapping[str, int] = {}
        self._connections: dict[str, int] = {}
        self._sure: dict[str, int] = {}
        self._asked: set[str] = set()

    def prepare(self) -> None:
        """A consumer is about to be opened."""
        self._total = self._log.total()
        self._before = self._log.connections(self._subscription)

    def begin(self, topics: Collection[str]) -> None:
        """A consumer of *topics* was opened."""
        self._topics = frozenset(topics)
        self._total = self._log.total()
        self._connections = self._ours()
        self._sure.clear()
        if topics and not any(number > self._before.get(name, 0) for name, number in self._connections.items()):
            raise RuntimeError("the Pulsar client does not log its connections as this version of Headrace expects")

    def reconnected(self) -> list[str]:
        """The partitions whose consumer was connected anew since the last call."""
        total = self._log.total()
        if total == self._total:
            return []
        self._total = total
        before, self._connections = self._connections, self._ours()
        return [name for name, number in self._connections.items() if number != before.get(name, number)]

    def after_reconnect(self, partition: str) -> None:
        """The client, too, drops what it acknowledged before, and says nothing of it: make sure that it is right.

        Raises as :meth:`recognise`, though not when the topic holds nothing that could be taken for older.
        """
        if self._known.known(partition) and self._judge(partition) is Verdict.EMPTY:
            raise UncertainTopicError(f"{partition} is empty")

    def is_same(self, partition: str) -> bool:
        """Whether *partition* is the topic that is remembered, as far as it can be told now, or none is. Raises
        :class:`AnotherTopicError` and PulsarError."""
        sure = self._sure.get(partition) == self._connections.get(partition, 0)
        return sure or self._judge(partition) is Verdict.SAME

    def recognise(self, partition: str) -> None:
        """Return when *partition* is the topic that is remembered.

        Raises :class:`AnotherTopicError`, :class:`UncertainTopicError`, or PulsarError.
        """
        if self.is_same(partition):
            return
        if partition in self._asked:
            self._fail(partition)  # it was delivered once more although the topic seems not to hold it
        self._asked.add(partition)
        raise UncertainTopicError(f"{partition} holds nothing of what is remembered, though it was delivered")

    def _judge(self, partition: str) -> Verdict:
        known = self._known.known(partition)
        if known is None:
            return Verdict.SAME
        connection = self._connections.get(partition, 0)
        verdict = self._incarnations.judge(partition, *known)
        if verdict is Verdict.OTHER:
            self._fail(partition)
        if verdict is Verdict.SAME:
            self._sure[partition] = connection
            self._asked.discard(partition)
        return verdict

    def _fail(self, partition: str) -> None:
        self._asked.discard(partition)
        known = self._known.known(partition)
        assert known is not None
        raise AnotherTopicError(partition, known[0])

    def _ours(self) -> dict[str, int]:
        found = self._log.connections(self._subscription)
        return {name: number for name, number in found.items() if not self._topics.isdisjoint((name, base_topic(name)))}
