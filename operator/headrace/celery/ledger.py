"""What is written about tasks: results and dead letters, once a task, and how often a task was handed out again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import valkey
from valkey.exceptions import ValkeyError

from headrace.celery.transport.keys import Keys, Push, message_in, parts_of
from headrace.celery.transport.link import STAGE
from headrace.celery.transport.owner import stage
from headrace.process.logs import Seldom
from headrace.process.lua import script_text
from headrace.process.stop import Backoff
from headrace.process.valkey_server import ValkeyServer

ERROR_LENGTH = 1000

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Ledger:
    """Writes to Valkey, from whatever process it is called in; waits as long as Valkey is away.

    The caller's task is not acknowledged before, so waiting loses nothing.
    """

    def __init__(self, server: ValkeyServer, prefix: str, window_seconds: int) -> None:
        self._server = server
        self._prefix, self._keys = prefix, Keys(prefix)
        self._window = window_seconds
        self._client: tuple[int, valkey.Valkey] | None = None
        self._seldom = Seldom()
        folders = (Path(__file__).parent,)
        self._publish_once = script_text("preflight", "publish_once", folders=folders)
        self._started_again = script_text("preflight", "started_again", folders=folders)

    def message(self, tag: object) -> bytes | None:
        """The message with the delivery tag *tag* as it lay in its queue, while our transport holds it."""
        parts = parts_of(str(tag))
        if parts is None:
            return None
        owner, number = parts
        held: Any = self._wait_for(lambda client: client.hget(self._keys.unacked(owner), str(number)))
        return message_in(held) if held else None

    def push_of(self, task_id: str | None, target: str, record: dict[str, Any]) -> Push:
        """What pushes *record* to the list *target*, once a task."""
        mark = f"{self._prefix}:done:{task_id}" if task_id else None
        return Push(target, orjson.dumps(record), mark, self._window)

    def publish(self, task_id: str | None, target: str, record: dict[str, Any], tag: object) -> None:
        """Push *record* to the list *target*, unless the task had its record before.

        When the message with the delivery tag *tag* is held by our transport, that happens with its acknowledgement,
        if the message is still this worker's then; else at once.
        """
        push, parts = self.push_of(task_id, target, record), parts_of(str(tag))
        if parts is None:
            self._push(push)
        elif not stage(str(tag), push):
            owner, number = parts
            keys = [self._keys.unacked(owner), self._keys.staged(owner)]
            if not self._persist(STAGE.text, keys, [number, push.packed()]):
                _log.warning("the task %s was given to another worker meanwhile; its record here is dropped", task_id)

    def _push(self, push: Push) -> None:
        if push.mark is None:
            self._wait_for(lambda client: client.lpush(push.target, push.record))
        elif not self._persist(self._publish_once, [push.mark, push.target], [push.window_seconds, push.record]):
            _log.info("a record of %s was published before", push.mark)

    def started_again(self, task_id: str) -> int | None:
        """How often the task was handed out again, this time included; None when it is done already."""
        keys = [f"{self._prefix}:done:{task_id}", f"{self._prefix}:lost:{task_id}"]
        times = int(self._persist(self._started_again, keys, [self._window]))
        return None if times < 0 else times

    def _persist(self, text: str, keys: list[str], arguments: list[Any]) -> Any:
        return self._wait_for(lambda client: client.register_script(text)(keys=keys, args=arguments))

    def _wait_for(self, call: Callable[[valkey.Valkey], T]) -> T:
        backoff = Backoff(0.05, 2.0)
        while True:
            try:
                return call(self._connected())
            except (ValkeyError, OSError) as error:
                if self._seldom(str(error)):
                    _log.warning("valkey does not take a task's record (%s: %s); waiting", type(error).__name__, error)
                time.sleep(backoff.next_seconds())

    def _connected(self) -> valkey.Valkey:
        """A client of this very process: a connection must not cross a fork."""
        if self._client is None or self._client[0] != os.getpid():
            self._client = (os.getpid(), self._server.client())
        return self._client[1]
