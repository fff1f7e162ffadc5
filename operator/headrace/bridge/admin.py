"""What a bridge asks Pulsar's admin API: reads only, one request at a time."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headrace.api.connection import PulsarConnection
from headrace.api.topic import layouts, waiting_messages
from headrace.process.configuration import Secrets

TIMEOUT_SECONDS = 10.0

ADMIN_TROUBLE: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""No answer, a refusal, or an answer that is not the admin API's."""


class TopicMissingError(Exception):
    """There is no such topic."""


class PulsarAdmin:
    """The admin API of one cluster. Every method raises one of ``ADMIN_TROUBLE``."""

    def __init__(self, connection: PulsarConnection, secrets: Secrets) -> None:
        self.url = connection.admin_url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if connection.auth:
            self._headers["Authorization"] = f"Bearer {secrets.read('pulsar/token')}"
        ca_file = str(secrets.certificate("pulsar-ca/ca.crt")) if connection.tls else None
        self._tls = ssl.create_default_context(cafile=ca_file)

    def topics(self, namespace: str) -> dict[str, int]:
        """The topics of *namespace* (``persistent://TENANT/NAMESPACE/``), a partitioned one by its own name, and how
        many partitions each has; 0 where it has none."""
        path = _path(namespace.rstrip("/"))
        return layouts(self._get(path), self._get(f"{path}/partitioned"))

    def exists(self, topic: str) -> bool:
        """Whether there is such a topic, with partitions or without."""
        try:
            self._get(f"{_path(topic)}/partitions")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def backlog(self, topic: str, subscription: str) -> int:
        """Messages that *subscription* has not acknowledged; 0 when there is no such topic or subscription."""
        try:
            stats = self._stats(topic)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return 0
            raise
        found = [each["subscriptions"].get(subscription) for each in stats.values()]
        return sum(waiting_messages(each) for each in found if each)

    def last_message(self, partition: str) -> tuple[int, int]:
        """Ledger and entry of the last message of *partition*; raise :class:`TopicMissingError` when there is none."""
        try:
            answer = self._get(f"{_path(partition)}/lastMessageId")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise TopicMissingError(f"the topic {partition} does not exist") from None
            raise
        return int(answer["ledgerId"]), int(answer["entryId"])

    def is_read_to_end(self, partition: str, subscription: str) -> bool:
        """Whether the broker has sent *subscription*'s consumer all there is."""
        cursors = self._get(f"{_path(partition)}/internalStats")["cursors"]
        return bool(cursors.get(subscription, {}).get("waitingReadOp"))

    def stats(self, topic: str) -> dict[str, Any]:
        """What the broker says of each partition's topic, by its name."""
        path = _path(topic)
        if not self._partitioned(path):
            return {topic: self._get(f"{path}/stats")}
        found: dict[str, Any] = self._get(f"{path}/partitioned-stats?perPartition=true")["partitions"]
        return found

    def internal_stats(self, topic: str) -> dict[str, Any]:
        """What the broker knows of the ledgers and cursors of each partition's topic, by its name."""
        path = _path(topic)
        if not self._partitioned(path):
            return {topic: self._get(f"{path}/internalStats")}
        found: dict[str, Any] = self._get(f"{path}/partitioned-internalStats")["partitions"]
        return found

    def acknowledged(self, topic: str, subscription: str) -> dict[str, tuple[int, int]]:
        """Of each partition's topic the (ledger, entry) up to which *subscription* has acknowledged everything."""
        found = {name: _mark(each, subscription) for name, each in self.internal_stats(topic).items()}
        return {partition: mark for partition, mark in found.items() if mark}

    def cursor(self, partition: str, subscription: str) -> tuple[int, int] | None:
        """The same of one partition; None when it has no such subscription."""
        return _mark(self._get(f"{_path(partition)}/internalStats"), subscription)

    def consumers(self, topic: str, subscription: str) -> dict[str, list[Any]]:
        """Who is connected to *subscription*, by the partition's topic, as the broker's stats say it."""
        stats = self.stats(topic)
        return {name: each["subscriptions"].get(subscription, {}).get("consumers", []) for name, each in stats.items()}

    def _stats(self, topic: str) -> dict[str, Any]:
        path = _path(topic)
        if not self._partitioned(path):
            return {topic: self._get(f"{path}/stats?getPreciseBacklog=true")}
        found: dict[str, Any] = self._get(f"{path}/partitioned-stats?perPartition=true&getPreciseBacklog=true")
        return found["partitions"]  # type: ignore[no-any-return]

    def _partitioned(self, path: str) -> bool:
        return bool(int(self._get(f"{path}/partitions")["partitions"]))

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(f"{self.url}/admin/v2{path}", headers=self._headers)  # noqa: S310 - http or https by the API's own rule
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._tls) as response:  # noqa: S310
            return json.load(response)


def _mark(stats: Mapping[str, Any], subscription: str) -> tuple[int, int] | None:
    cursor = stats["cursors"].get(quote(subscription, safe="")) or stats["cursors"].get(subscription)
    if not cursor:
        return None
    ledger, entry = cursor["markDeletePosition"].split(":")
    return int(ledger), int(entry)


def _path(name: str) -> str:
    parts = name.removeprefix("persistent://").split("/", 2)
    return "/persistent/" + "/".join(quote(part, safe="") for part in parts)
