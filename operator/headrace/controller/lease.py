"""Leader election by a Lease of our own.

``kubernetes.aio.leaderelection`` was read first and not taken: it writes local time as UTC, ends on any error that is
not an HTTP status, does not release the Lease on exit, and cannot tell a writer that its time is over.

The leader renews every few seconds. It stops acting ``RENEW_DEADLINE_SECONDS`` after its last successful renewal,
which is before ``LEASE_SECONDS`` have passed and another one may take over; each write asks ``check`` first. Times are
compared on the local monotonic clock only: a follower waits until it has seen the Lease unchanged for its duration.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from headrace.reconcile.api_server import AlreadyExistsError, ApiServer
from headrace.reconcile.kinds import LEASE, Reference
from headrace.reconcile.verdicts import (
    KubernetesRefusedError,
    KubernetesUnavailableError,
    LeadershipLostError,
    OutdatedError,
)

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0


class Lease:
    """This process's stake in the Lease."""

    def __init__(self, api: ApiServer, namespace: str, name: str, identity: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._reference = Reference(LEASE.name, namespace, name)
        self._identity = identity
        self._clock = clock
        self._renewed: float | None = None
        self._observed: tuple[str, float] = ("", 0.0)
        self.acquired = asyncio.Event()
        """Set while this process leads."""
        self.lost = asyncio.Event()
        """Set while it does not."""
        self.lost.set()

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE_SECONDS

    def check(self) -> None:
        """Raise LeadershipLostError unless this process may write now."""
        if not self.held:
            raise LeadershipLostError("another operator may lead by now")

    async def keep(self) -> None:
        """Acquire the Lease and renew it, for ever."""
        while True:
            try:
                async with asyncio.timeout(RENEW_DEADLINE_SECONDS / 2):
                    await self._acquire_or_renew()
            except (KubernetesUnavailableError, KubernetesRefusedError, OutdatedError, TimeoutError) as error:
                logger.warning("Could not renew the Lease %s: %s", self._reference.name, error or "timeout")
            self._announce()
            await asyncio.sleep(RETRY_SECONDS)

    async def release(self) -> None:
        """Give the Lease up, so that the next one needs not wait for it to expire."""
        if not self.held:
            return
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                live = await self._api.get(self._reference)
                if live and live["spec"].get("holderIdentity") == self._identity:
                    live["spec"].update({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()})
                    await self._api.replace(live)
        except (KubernetesUnavailableError, KubernetesRefusedError, OutdatedError, TimeoutError) as error:
            logger.warning("Could not release the Lease: %s", error or "timeout")
        self._renewed = None
        self._announce()

    def _announce(self) -> None:
        if self.held and not self.acquired.is_set():
            logger.info("Leading as %s", self._identity)
            self.lost.clear()
            self.acquired.set()
        elif not self.held and self.acquired.is_set():
            logger.warning("Not leading any more")
            self.acquired.clear()
            self.lost.set()

    async def _acquire_or_renew(self) -> None:
        began = self._clock()
        live = await self._api.get(self._reference)
        if live is None:
            try:
                await self._api.create(self._body())
            except AlreadyExistsError:
                return
            self._renewed = began
            return
        spec: dict[str, Any] = live.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder not in (self._identity, "", None) and not self._expired(live, spec, began):
            self._renewed = None
            return
        if holder != self._identity:
            spec.update(acquireTime=_now(), leaseTransitions=int(spec.get("leaseTransitions") or 0) + 1)
        spec.update(holderIdentity=self._identity, leaseDurationSeconds=int(LEASE_SECONDS), renewTime=_now())
        await self._api.replace({**live, "spec": spec})
        # From before the request: the others count from when they see it, which is later.
        self._renewed = began

    def _expired(self, live: dict[str, Any], spec: dict[str, Any], now: float) -> bool:
        version = live["metadata"]["resourceVersion"]
        if self._observed[0] != version:
            self._observed = (version, now)
        return now - self._observed[1] > float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)

    def _body(self) -> dict[str, Any]:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._reference.name, "namespace": self._reference.namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_SECONDS),
                "acquireTime": _now(),
                "renewTime": _now(),
                "leaseTransitions": 0,
            },
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
