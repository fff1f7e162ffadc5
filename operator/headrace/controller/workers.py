"""Takes keys off the queue and runs passes, while this process leads."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from headrace.controller.lease import Lease
from headrace.controller.metrics import Metrics
from headrace.controller.queue import KeyedQueue
from headrace.reconcile.kinds import Key
from headrace.reconcile.passes import reconcile
from headrace.reconcile.verdicts import KubernetesUnavailableError, LeadershipLostError, OutdatedError
from headrace.reconcile.world import Done, World

logger = logging.getLogger(__name__)

_STALE_SECONDS = 0.2
"""The wait after a pass that found its view outdated: the watch is about to bring the new one."""


class Workers:
    """Some concurrent passes."""

    def __init__(
        self,
        *,
        queue: KeyedQueue,
        world: World,
        lease: Lease,
        metrics: Metrics,
        concurrency: int,
        live_seconds: float,
        enqueue_all: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._world = world
        self._lease = lease
        self._metrics = metrics
        self._concurrency = concurrency
        self._live_seconds = live_seconds
        self._enqueue_all = enqueue_all

    async def run(self) -> None:
        """Work whenever this process leads; what is in work when it stops leading is cancelled."""
        while True:
            await self._lease.acquired.wait()
            self._metrics.leader.set(1)
            self._enqueue_all()
            crew = [asyncio.create_task(self._work(), name=f"pass-{index}") for index in range(self._concurrency)]
            lost = asyncio.create_task(self._lease.lost.wait())
            try:
                await asyncio.wait([*crew, lost], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._metrics.leader.set(0)
                self._metrics.hide_all()
                for task in (*crew, lost):
                    task.cancel()
                results = await asyncio.gather(*crew, lost, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _work(self) -> None:
        while True:
            key, thorough = await self._queue.get()
            began = time.monotonic()
            result = "error"
            try:
                result = await self._pass(key, thorough=thorough)
            finally:
                if result == "error":
                    self._queue.failed(key)
                self._metrics.reconciles.labels(key.kind, result).inc()
                self._metrics.seconds.labels(key.kind).observe(time.monotonic() - began)

    async def _pass(self, key: Key, *, thorough: bool) -> str:
        """One pass; every error ends here, so that one resource cannot stop the others."""
        try:
            done = await reconcile(key, self._world, lambda: datetime.now(UTC), thorough=thorough)
        except OutdatedError:
            self._queue.done(key)
            self._queue.add(key, _STALE_SECONDS)
            return "retry"
        except (KubernetesUnavailableError, LeadershipLostError) as error:
            logger.warning("Put off: %s", error, extra={"resource": str(key)})
            return "error"
        except Exception:
            logger.exception("A pass failed", extra={"resource": str(key)})
            return "error"
        if done is None:
            self._queue.done(key)
            self._metrics.hide(key)
            return "gone"
        self._metrics.show(key, done.plan.status)
        return self._again(key, done)

    def _again(self, key: Key, done: Done) -> str:
        """Settle when to come again."""
        if done.retry:
            self._queue.failed(key)
        else:
            self._queue.done(key)
        if done.plan.requeue_after is not None and not done.retry:
            self._queue.add(key, done.plan.requeue_after)
        elif not done.retry and key.kind != "HybridPipeline":
            self._queue.add(key, self._live_seconds)
        return "retry" if done.retry else "success"
