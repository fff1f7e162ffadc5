"""The user's handler, and the slots in which its calls run."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from headrace.handlers.reservations import Delivery
from headrace.process.attribute import load_attribute
from headrace.process.configuration import FatalConfigurationError
from headrace.tasks import Message

Handler = Callable[[Message], Any]


def load_handler(field: str, path: str) -> Handler:
    """The function named ``module:attribute`` in *field* of the resource; raises ``FatalConfigurationError``."""
    module, found = load_attribute(field, path)
    if not callable(found):
        own = [name for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"]
        hint = f"; it has {', '.join(sorted(own))}" if own else ""
        raise FatalConfigurationError(
            f"{field}: {module.__name__} has no function {path.partition(':')[2]} to call{hint}."
        )
    handler: Handler = found
    try:
        inspect.signature(handler).bind(object())
    except TypeError as error:
        raise FatalConfigurationError(f"{field}: {path} must take one argument, the message: {error}.") from None
    return handler


@dataclass(frozen=True, slots=True)
class Ended:
    """A call of the handler that ended."""

    delivery: Delivery
    message: Message
    value: Any
    error: BaseException | None
    seconds: float


class Slots:
    """Runs calls: a function in threads, an async function as coroutines of one event loop."""

    def __init__(self, handler: Handler, concurrency: int) -> None:
        self._handler: Any = handler
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: ThreadPoolExecutor | None = None
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="coroutines", daemon=True).start()
        else:
            self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="handler")

    def start(self, delivery: Delivery, message: Message) -> None:
        """Begin a call."""
        began = time.monotonic()

        def ended(future: Future[Any]) -> None:
            error = future.exception()
            value = None if error else future.result()
            self._ended.put(Ended(delivery, message, value, error, time.monotonic() - began))

        if self._loop is not None:
            future = asyncio.run_coroutine_threadsafe(_called(self._handler, message), self._loop)
        else:
            assert self._threads is not None
            future = self._threads.submit(self._handler, message)
        future.add_done_callback(ended)

    def ended(self, seconds: float) -> list[Ended]:
        """The calls that ended, after waiting for one at most *seconds*."""
        found = []
        try:
            found.append(self._ended.get(timeout=seconds) if seconds > 0 else self._ended.get_nowait())
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            return found


async def _called(handler: Callable[[Message], Awaitable[Any]], message: Message) -> Any:
    """An exception that would end the loop's thread stays inside."""
    try:
        return await handler(message)
    except (SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error
