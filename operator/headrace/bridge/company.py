"""Who else reads the subscription?

Two bridges with one subscription would each get a part of its messages, and put it where only one of them looks: two
installations of one name in two Kubernetes clusters, or two resources with the same subscription. So consumers say
which resource they belong to, and the one that came later gives way.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.process.logs import Seldom
from headrace.process.stop import Stop

RESOURCE = "headrace.resource"
UID = "headrace.uid"
"""Properties of a consumer."""

PERIOD_SECONDS = 5.0
GRACE_SECONDS = 60.0
"""How long another bridge must be gone before we take over: a pod that is replaced is back before."""

_log = logging.getLogger(__name__)


class TakenError(Exception):
    """Another bridge reads the subscription."""


class Company:
    """Of one subscription. The admin API tells; while it is away nobody is seen, which is logged."""

    def __init__(self, admin: PulsarAdmin, subscription: str, resource: str, uid: str, stop: Stop) -> None:
        self._admin = admin
        self.subscription = subscription
        """Its name."""
        self._uid = uid
        self.properties = {RESOURCE: resource, UID: uid}
        """What our consumers say of themselves."""
        self._stop = stop
        self._topics: Collection[str] = ()
        self._other = ""
        self._last_seen: float | None = None
        self._seldom = Seldom(600)

    def start(self) -> None:
        """Look every 5 s until the stop, in a daemon thread, while a consumer is open."""
        threading.Thread(target=self._run, name="company", daemon=True).start()

    def before(self, topics: Collection[str]) -> None:
        """A consumer is about to be opened. Raises :class:`TakenError` while another bridge reads one of *topics*, or
        did a short time ago."""
        self._topics = ()
        other = next((text for text, _ in self._others(topics)), "")
        now = time.monotonic()
        if other:
            self._last_seen, self._other = now, other
        if self._last_seen is not None and now - self._last_seen < GRACE_SECONDS:
            raise TakenError(self._text(self._other))
        self._last_seen, self._other = None, ""

    def after(self, topics: Collection[str]) -> None:
        """A consumer was opened, and nothing is taken from it yet. Raises :class:`TakenError` when another bridge was
        there before."""
        self._look(topics)
        self._topics = tuple(topics)
        self.check()
        with contextlib.suppress(*ADMIN_TROUBLE):
            for topic in topics:
                self.ours(topic)

    def check(self) -> None:
        """Raises :class:`TakenError` when the last look found another bridge that was there before."""
        if self._other:
            self._last_seen = time.monotonic()
            raise TakenError(self._text(self._other))

    def ours(self, topic: str) -> set[str]:
        """The partitions of *topic* on which the admin API shows a consumer of our resource. Raises one of
        ``ADMIN_TROUBLE``."""
        found = self._admin.consumers(topic, self.subscription)
        ours = {name for name, consumers in found.items() if any(_uid(each) == self._uid for each in consumers)}
        if not ours and self._seldom("ours"):
            _log.warning(
                "%s knows no consumer of ours on %s, though we are connected: do pulsar.adminUrl and pulsar.serviceUrl"
                " lead to the same cluster?",
                self._admin.url,
                topic,
            )
        return ours

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            if topics := self._topics:
                self._look(topics)

    def _look(self, topics: Collection[str]) -> None:
        self._other = next((text for text, elder in self._others(topics) if elder), "")

    def _others(self, topics: Collection[str]) -> Iterator[tuple[str, bool]]:
        """The other bridges, as a text each, and whether that one was there before us."""
        for topic in topics:
            try:
                partitions = self._admin.consumers(topic, self.subscription)
            except ADMIN_TROUBLE as error:
                if self._seldom("admin"):
                    _log.warning("cannot ask %s who else reads %s: %s", self._admin.url, topic, error)
                continue
            for consumers in partitions.values():
                yield from self._of(consumers)

    def _of(self, consumers: Collection[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
        ours = [_since(each) for each in consumers if _uid(each) == self._uid]
        for each in consumers:
            uid = _uid(each)
            if not uid:
                self._tell_of_a_stranger(each)
            elif uid != self._uid:
                named = f"{each['metadata'].get(RESOURCE, 'a bridge')} (uid {uid}, {each.get('address')})"
                yield named, not ours or (_since(each), uid) < (min(ours), self._uid)

    def _tell_of_a_stranger(self, consumer: Mapping[str, Any]) -> None:
        name = f"{consumer.get('consumerName')} ({consumer.get('address')})"
        if self._seldom(name):
            _log.warning(
                "%s, which is not a bridge of this version, reads the subscription %s too:"
                " what it gets does not come to Valkey",
                name,
                self.subscription,
            )

    def _text(self, other: str) -> str:
        return (
            f"the subscription {self.subscription} is read by another bridge, {other}:"
            " give one of them a subscription of its own, or delete one"
        )


def _uid(consumer: Mapping[str, Any]) -> str:
    return str((consumer.get("metadata") or {}).get(UID, ""))


def _since(consumer: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(consumer["connectedSince"])).timestamp()
    except (KeyError, ValueError):
        return 0.0
