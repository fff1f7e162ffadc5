"""Writes Kubernetes events (core ``v1``): RBAC needs ``create`` and ``patch`` on ``events``.

Plans emit events on change only; what is said again within ten minutes raises the count of the first one.
"""

import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.reconcile.api_server import ApiServer
from headrace.reconcile.kinds import Key, Reference
from headrace.reconcile.outcome import key_of
from headrace.reconcile.plan import Event
from headrace.reconcile.verdicts import KubernetesRefusedError, KubernetesUnavailableError, OutdatedError

logger = logging.getLogger(__name__)

COMPONENT = "headrace-operator"
_AGAIN_SECONDS = 600.0
_REMEMBERED = 1000
_LONGEST = 1024
"""The API server refuses longer messages."""


@dataclass
class _Said:
    name: str
    count: int
    last: datetime


class Recorder:
    """The operator's events. A failure to write one is logged and nothing else."""

    def __init__(self, api: ApiServer, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._clock = clock
        self._said: OrderedDict[tuple[Key, Event], _Said] = OrderedDict()

    async def emit(self, body: Mapping[str, Any], event: Event) -> None:
        """Write *event* about the resource *body*."""
        key = key_of(body)
        level = logging.WARNING if event.type == "Warning" else logging.INFO
        logger.log(level, "%s: %s", event.reason, event.message, extra={"resource": str(key)})
        now = self._clock()
        said = self._said.get((key, event))
        try:
            if said and (now - said.last).total_seconds() < _AGAIN_SECONDS and await self._again(key, said, now):
                return
            await self._first(body, key, event, now)
        except (KubernetesRefusedError, KubernetesUnavailableError, OutdatedError) as error:
            logger.warning("Could not write an event: %s", error, extra={"resource": str(key)})

    async def _first(self, body: Mapping[str, Any], key: Key, event: Event, now: datetime) -> None:
        name = f"{key.name[:200].rstrip('.-')}.{uuid.uuid4().hex[:16]}"
        metadata = body["metadata"]
        await self._api.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": key.namespace},
                "involvedObject": {
                    "apiVersion": body["apiVersion"],
                    "kind": key.kind,
                    "namespace": key.namespace,
                    "name": key.name,
                    "uid": metadata.get("uid"),
                    "resourceVersion": metadata.get("resourceVersion"),
                },
                "type": event.type,
                "reason": event.reason,
                "message": event.message[:_LONGEST],
                "source": {"component": COMPONENT},
                "firstTimestamp": _stamp(now),
                "lastTimestamp": _stamp(now),
                "count": 1,
            }
        )
        self._said[key, event] = _Said(name, 1, now)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)

    async def _again(self, key: Key, said: _Said, now: datetime) -> bool:
        said.count += 1
        said.last = now
        patch = {"count": said.count, "lastTimestamp": _stamp(now)}
        return await self._api.merge(Reference("Event", key.namespace, said.name), patch) is not None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
