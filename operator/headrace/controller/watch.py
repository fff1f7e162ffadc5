"""From watch events to keys in the queue, and the periodic look past the watches.

kopf's handlers end here: each takes in the object, queues the keys it concerns, and returns None (kopf writes any
other value into the resource's status).
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.api.resource import LABEL_KIND, LABEL_NAME
from headrace.controller.queue import KeyedQueue
from headrace.controller.settings import Settings
from headrace.desired.names import label_value
from headrace.reconcile.api_server import ApiServer
from headrace.reconcile.cache import Cache
from headrace.reconcile.kinds import CHILDREN, KINDS, MODELS, MONITORING, POD, RESOURCES, Key, Kind, Reference
from headrace.reconcile.secrets import SecretStore
from headrace.reconcile.world import World

logger = logging.getLogger(__name__)

CHILD_SELECTOR = "app.kubernetes.io/managed-by=headrace"
"""Children and pods are watched by this label; what others made never reaches the cache."""

_CHILD_DELAY = 0.1
_POD_DELAY = 1.0
"""Seconds in which events on one resource's children, or its pods, become one pass."""


class Watch:
    """Takes in what the API server tells."""

    def __init__(
        self,
        *,
        api: ApiServer,
        cache: Cache,
        secrets: SecretStore,
        world: World,
        queue: KeyedQueue,
        settings: Settings,
    ) -> None:
        self._api = api
        self._cache = cache
        self._secrets = secrets
        self._world = world
        self._queue = queue
        self._settings = settings
        self._events: Counter[str] = Counter()
        self._missed_at: dict[str, int] = {}
        self.deaf: set[str] = set()
        """Kinds whose watch has told nothing between two looks that both found news."""
        self.synced = False
        """Whether the cache has been filled once."""
        self.monitoring = False
        """Whether the Prometheus operator's CRDs are installed."""

    def enqueue_all(self, *, thorough: bool = False) -> None:
        """Queue every resource there is."""
        for body in self._cache.resources():
            self._queue.add(_key(body), thorough=thorough)

    def take(self, change: str | None, body: dict[str, Any]) -> None:
        """Take in one watch event; *change* is its type, None for the initial listing."""
        kind = body["kind"]
        self._events[kind] += 1
        if kind == "Secret":
            self._take_secret(body)
            return
        if change == "DELETED":
            self._cache.remove(body)
        else:
            self._cache.put(body)
        self._enqueue(body, deleted=change == "DELETED")

    def _take_secret(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        self._secrets.changed(namespace, name)
        for key in self._world.users_of_secret(namespace, name):
            self._queue.add(key)

    def _enqueue(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        if body["kind"] in MODELS:
            key = _key(body)
            if deleted:
                self._world.forget(key, body["metadata"].get("uid", ""))
            if deleted or not self._world.wrote(key, body["metadata"].get("resourceVersion", "")):
                self._queue.add(key)
        if body["kind"] == POD.name:
            for key in self._pod_keys(body):
                self._queue.add(key, _POD_DELAY)
        for key in _owners(body):
            self._queue.add(key, _CHILD_DELAY)

    def _pod_keys(self, body: Mapping[str, Any]) -> Iterable[Key]:
        labels = body["metadata"].get("labels") or {}
        kind, label = labels.get(LABEL_KIND, ""), labels.get(LABEL_NAME, "")
        key = Key(kind, body["metadata"]["namespace"], label)
        if self._cache.resource(key):
            return [key]
        # A name that is too long for a label is cut and hashed there.
        names = (reference for reference in self._cache.references(kind) if reference.namespace == key.namespace)
        return [Key(kind, each.namespace, each.name) for each in names if label_value(each.name) == label]

    async def look(self) -> None:
        """List everything, and treat what the watches did not tell as told now.

        Raises KubernetesUnavailableError, KubernetesRefusedError.
        """
        self.monitoring = await self._api.monitoring_installed()
        for kind in (*RESOURCES, *CHILDREN, POD, *(MONITORING if self.monitoring else ())):
            missed = await self._look_at(kind)
            if missed and self.synced:
                self._judge_watch(kind, missed)
        self.synced = True

    async def look_for_monitoring(self) -> None:
        """See whether the Prometheus operator came or went."""
        was, self.monitoring = self.monitoring, await self._api.monitoring_installed()
        if was != self.monitoring:
            logger.info("The Prometheus operator's CRDs %s", "appeared" if self.monitoring else "are gone")
            self.enqueue_all()

    async def _look_at(self, kind: Kind) -> int:
        """How many objects the watch had not told of."""
        selector = None if kind in RESOURCES else CHILD_SELECTOR
        known = set(self._cache.references(kind.name))
        listed: set[Reference] = set()
        missed = 0
        for namespace in self._settings.namespaces or (None,):
            for body in await self._api.list_all(kind, namespace, selector):
                listed.add(Reference.of(body))
                if self._cache.put(body):
                    missed += 1
                    self._enqueue(body, deleted=False)
        for reference in known - listed:
            missed += await self._look_for(reference)
        return missed

    async def _look_for(self, reference: Reference) -> int:
        """An object that is known and was not listed: gone, or made a moment ago."""
        known = self._cache.get(reference)
        if known is None or await self._api.get(reference) is not None:
            return 0
        self._cache.drop(reference)
        self._enqueue(known, deleted=True)
        return 1

    def _judge_watch(self, kind: Kind, missed: int) -> None:
        """News may cross a listing once; a watch that said nothing at all between two such listings is dead."""
        told = self._events[kind.name]
        if self._missed_at.get(kind.name) == told:
            logger.error("The watch of %s told nothing of %d changes", kind.plural, missed)
            self.deaf.add(kind.name)
        else:
            self.deaf.discard(kind.name)
        self._missed_at[kind.name] = told


def _key(body: Mapping[str, Any]) -> Key:
    return Key(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def _owners(body: Mapping[str, Any]) -> Iterable[Key]:
    for owner in body["metadata"].get("ownerReferences") or ():
        if owner.get("kind") in MODELS and owner["kind"] in KINDS:
            yield Key(owner["kind"], body["metadata"]["namespace"], owner["name"])
