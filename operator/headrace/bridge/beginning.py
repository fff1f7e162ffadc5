"""Where a subscription begins that is to begin at the end: once, and never again.

A consumer makes a subscription that is missing, each time that it connects, and where its own initial position says. So
one with `Latest` would pass over what waits whenever somebody deletes the subscription. `Latest` is therefore said by a
consumer that makes the subscription and goes, and the one that reads says `Earliest`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import valkey

from headrace.api.bridge_source import PulsarSource
from headrace.api.topic import InitialPosition, base_topic
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.incarnation import Incarnations, Witness
from headrace.bridge.pulsar_library import Client
from headrace.bridge.remembered import Remembered

_log = logging.getLogger(__name__)


class Beginnings:
    """Of the topics of one source."""

    def __init__(
        self,
        source: PulsarSource,
        client: Client,
        admin: PulsarAdmin,
        incarnations: Incarnations,
        valkey_client: valkey.Valkey,
        remembered: Remembered,
    ) -> None:
        self._source = source
        self._client = client
        self._admin = admin
        self._valkey = valkey_client
        self._remembered = remembered
        self._incarnations = incarnations

    def settle(self, present: Mapping[str, int], make: Callable[[Sequence[str]], None]) -> None:
        """Let the subscription begin at the end of those topics that were never read, and remember where that is.

        *make* makes the subscription, at the end, on topics where it is missing. New partitions of a topic that is
        read, topics that were missing, and those that a pattern finds after its first look are read whole. Raises
        PulsarError, and a Valkey's errors.
        """
        if self._source.initial_position is not InitialPosition.LATEST:
            return
        pattern = self._source.topics_pattern is not None
        looked_before = pattern and bool(self._valkey.exists(self._first_look))
        memory = self._remembered.load()
        read = {part for name in memory.beginnings.keys() | memory.marks.keys() for part in (name, base_topic(name))}
        fresh: dict[str, list[str]] = {}
        whole = [name for name in self._source.names if name not in present]
        for topic in present:
            partitions = list(self._client.get_topic_partitions(topic))
            if looked_before or topic in read:
                whole += partitions
            else:
                fresh[topic] = partitions
        if fresh:
            make(list(fresh))
            for topic, partitions in fresh.items():
                self._remembered.begin(self._ends(topic, partitions))
        self._remembered.begin({name: None for name in whole if name not in memory.beginnings})
        if pattern:
            self._valkey.set(self._first_look, "1")

    @property
    def _first_look(self) -> str:
        return f"{self._remembered.base}:begun"

    def _ends(self, topic: str, partitions: Sequence[str]) -> dict[str, Witness | None]:
        """The last message before the subscription, by partition. It may be older than we are, so the broker is asked
        where it stands."""
        try:
            stands = self._admin.acknowledged(topic, self._source.subscription)
        except ADMIN_TROUBLE as error:
            _log.warning(
                "cannot ask %s where %s begins on %s (%s): if it is deleted before a message came, older ones are read",
                self._admin.url,
                self._source.subscription,
                topic,
                error,
            )
            return dict.fromkeys(partitions)
        return {name: self._incarnations.last_of(name, stands[name]) if name in stands else None for name in partitions}
