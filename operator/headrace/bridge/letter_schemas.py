"""Gives the topics of letters the schemas of the topics that a bridge reads, before there is any letter.

A topic with messages or producers and without a schema takes no consumer that has one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.schemas import Schemas
from headrace.process.logs import Seldom

_log = logging.getLogger(__name__)


class LetterSchemas:
    """Of one bridge. Trouble is logged: each letter brings its schema along once more."""

    def __init__(self, bridge: PulsarBridge, client: Client, raw: RawTopics) -> None:
        topics = bridge.spec.dead_letter_topic, bridge.spec.retry_topic
        self._letters = [topic for topic in topics if topic]
        self._client = client
        self._raw = raw
        self._seldom = Seldom()

    def give(self, topics: Iterable[str]) -> None:
        """Give them the schemas of *topics*."""
        names = list(topics)
        for letters in self._letters:
            try:
                partition = self._client.get_topic_partitions(letters)[0]
                with self._raw.link(partition) as link:
                    schemas = Schemas(link, partition)
                    for topic in names:
                        schema = schemas.latest_at(topic)
                        if schema is not None and not schemas.version(schema) and self._seldom(topic):
                            _log.warning("%s does not take the schema of %s: its letters carry it", letters, topic)
            except (PulsarError, *RAW_TROUBLE) as error:
                if self._seldom(letters):
                    _log.warning("%s could not be given the schemas of its letters: %s", letters, error)
