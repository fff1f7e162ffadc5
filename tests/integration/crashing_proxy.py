"""A proxy between operator and API server that lets the n-th write through and then never answers it."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import yaml
from aiohttp import web

from testbed.loopback import HOST

_WRITES = ("POST", "PUT", "PATCH", "DELETE")


class CrashingProxy:
    """Serves the API server of a kubeconfig over plain HTTP, and counts writes (leader election left out)."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._upstream = cluster["server"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._config = config
        self.kubeconfig = folder / "proxied-kubeconfig"
        self.writes = 0
        self._crash_at = 0
        self._crash: Callable[[], None] = lambda: None
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def arm(self, crash_at: int, crash: Callable[[], None]) -> None:
        """Count anew; call *crash* when the write of that number has reached the API server. 0: never."""
        self.writes, self._crash_at, self._crash = 0, crash_at, crash

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self._config["clusters"][0]["cluster"] = {"server": f"http://{HOST}:{runner.addresses[0][1]}"}
        self.kubeconfig.write_text(yaml.safe_dump(self._config))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._session:
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:  # of operators that were killed while they waited for an answer
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Accept-Encoding")}
        url = f"{self._upstream}{request.rel_url}"
        body = await request.read() or None
        async with self._session.request(request.method, url, data=body, headers=headers, ssl=self._tls) as upstream:
            if request.method in _WRITES and "/leases" not in request.path:
                await upstream.read()
                self.writes += 1
                if self.writes == self._crash_at:
                    self._crash()
            answer = web.StreamResponse(status=upstream.status)
            answer.content_type = upstream.content_type
            # a killed operator closes all its connections at once
            with contextlib.suppress(ConnectionError):
                await answer.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await answer.write(chunk)
            return answer
