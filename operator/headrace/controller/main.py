"""The operator's process: puts the parts together, runs them, and ends them in order."""

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import aiohttp

from headrace.api.resource import GROUP
from headrace.controller.connect import NoClusterError, connect
from headrace.controller.lease import Lease
from headrace.controller.metrics import Metrics
from headrace.controller.probes import ProbeServer
from headrace.controller.queue import KeyedQueue
from headrace.controller.settings import BadSettingError, Settings, from_environment
from headrace.controller.shell import watch_for_ever
from headrace.controller.watch import Watch
from headrace.controller.workers import Workers
from headrace.process.logs import configure
from headrace.reconcile.api_server import ApiServer
from headrace.reconcile.brokers import Brokers
from headrace.reconcile.cache import Cache
from headrace.reconcile.recorder import Recorder
from headrace.reconcile.secrets import SecretStore
from headrace.reconcile.verdicts import KubernetesRefusedError, KubernetesUnavailableError
from headrace.reconcile.world import World

logger = logging.getLogger(__name__)

_DISCOVERY_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_STUCK_SECONDS = 300.0
"""A pass that takes longer hangs: its requests have all timed out long ago."""


def run() -> int:
    """Run the operator until it is told to stop; return the exit status."""
    try:
        settings = from_environment()
    except BadSettingError as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_CONFIG
    secrets: set[str] = set()
    configure(secrets, level=logging.getLevelNamesMapping()[settings.log_level])
    for noisy in ("kopf", "aiohttp", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor.observation").addFilter(_of_interest)
    try:
        return asyncio.run(_run(settings, secrets))
    except NoClusterError as error:
        logger.error("%s", error)
        return os.EX_CONFIG


async def _run(settings: Settings, secrets: set[str]) -> int:
    client = await connect()
    async with client, aiohttp.ClientSession() as session:
        return await Operator(settings, client, session, secrets).run()


def _of_interest(record: logging.LogRecord) -> bool:
    """kopf calls it a mistake when a watched kind is not installed; the Prometheus operator's may well not be."""
    return not ("Unresolved resources" in record.getMessage() and GROUP not in record.getMessage())


class Operator:
    """All parts of one operator."""

    def __init__(self, settings: Settings, client: Any, session: aiohttp.ClientSession, secrets: set[str]) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._stop_watching = asyncio.Event()
        self._metrics = metrics = Metrics()
        cache = Cache()
        self._queue = queue = KeyedQueue(time.monotonic, retry=settings.retry)
        metrics.queue_depth.set_function(lambda: len(queue))
        # The Lease writes through a client that does not ask whether we lead.
        self._lease = lease = Lease(
            ApiServer(client), settings.lease_namespace, settings.lease_name, settings.identity, time.monotonic
        )
        api = ApiServer(client, may_write=lease.check, on_write=metrics.wrote)
        store = SecretStore(api, secrets)
        world = World(
            api=api,
            cache=cache,
            secrets=store,
            brokers=Brokers(session, time.monotonic, live_seconds=settings.live_seconds),
            recorder=Recorder(api, lambda: datetime.now(UTC)),
            worker_image=settings.worker_image,
            monitoring=lambda: self._watch.monitoring,
            watches=settings.watches,
        )
        self._watch = Watch(api=api, cache=cache, secrets=store, world=world, queue=queue, settings=settings)
        self._workers = Workers(
            queue=queue,
            world=world,
            lease=lease,
            metrics=metrics,
            concurrency=settings.concurrency,
            live_seconds=settings.live_seconds,
            enqueue_all=self._watch.enqueue_all,
        )
        self._probes = ProbeServer(metrics, self._not_live, self._not_ready)

    async def run(self) -> int:
        """Run until a signal comes (0) or a part fails (1)."""
        await self._probes.start(self._settings.http_host, self._settings.http_port)
        parts = {
            asyncio.create_task(part, name=name)
            for name, part in {
                "watch": watch_for_ever(
                    self._watch, self._settings, on_started=self._handle_signals, stop=self._stop_watching
                ),
                "work": self._work(),
                "stop": self._stop.wait(),
            }.items()
        }
        ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        failures = [task for task in ended if task.exception()]
        for task in failures:
            logger.error("The operator's %s ended", task.get_name(), exc_info=task.exception())
        await self._end(parts)
        return 1 if failures or not self._stop.is_set() else 0

    async def _work(self) -> None:
        """Fill the cache, then lead and work."""
        await _persistently(self._watch.look)
        logger.info("Ready", extra={"namespaces": ",".join(self._settings.namespaces) or "all"})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lease.keep())
            group.create_task(self._workers.run())
            group.create_task(self._look_again())
            group.create_task(self._discover())

    async def _look_again(self) -> None:
        """Every few minutes look past the watches, and at every resource thoroughly."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.8, 1.2))
            await _persistently(self._watch.look)
            self._watch.enqueue_all(thorough=True)

    async def _discover(self) -> None:
        while True:
            await asyncio.sleep(_DISCOVERY_SECONDS)
            await _persistently(self._watch.look_for_monitoring)

    def _handle_signals(self) -> None:
        """Instead of kopf's own handlers, which would end the watches before the Lease is released."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _end(self, parts: set[asyncio.Task[Any]]) -> None:
        """Stop acting, release the Lease, then stop watching."""
        for task in parts:
            if task.get_name() != "watch":
                task.cancel()
        await asyncio.gather(*(task for task in parts if task.get_name() != "watch"), return_exceptions=True)
        await self._lease.release()
        self._stop_watching.set()
        await asyncio.gather(*parts, return_exceptions=True)
        await self._probes.stop()

    def _not_live(self) -> str | None:
        longest = self._queue.oldest_work()
        if longest > _STUCK_SECONDS:
            return f"a pass has been under way for {longest:.0f} seconds"
        if self._watch.deaf:
            return f"the watch is dead of {', '.join(sorted(self._watch.deaf))}"
        return None

    def _not_ready(self) -> str | None:
        return None if self._watch.synced else "the cache is not filled yet"


async def _persistently(look: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do it until the API server lets us."""
    while True:
        try:
            return await look()
        except (KubernetesUnavailableError, KubernetesRefusedError) as error:
            logger.warning("Could not read the cluster: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
