"""Where a write must be before it counts as done: Valkey's memory, its disk, or its replicas.

``WAITAOF`` alone is no proof that a write is on disk. With `appendfsync everysec` Valkey (9.1 still) answers at once
while its last fsync began less than a second ago, whether or not the write came after it. What follows from an answer
is that the fsync before it began less than a second earlier; and one fsync begins only when the last one has ended. So
of answers whose questions begin at least a second after the answer before them, the third one proves what was written
before the first: an fsync began after the write by the second, and that one had ended by the third.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import valkey
from valkey.exceptions import NoPermissionError, ResponseError

from headrace.api.delivery import Delivery, Durability
from headrace.process.logs import Seldom
from headrace.process.needs import Need, Needs

ANSWER_MILLISECONDS = 5000
"""How long Valkey may take for one answer, below the socket's time-out."""
FSYNC_ANSWERS = 3
FSYNC_SECONDS = 1.05
REPLICA_SECONDS = 0.05
"""From one answer to the next question."""

# WAIT and WAITAOF ask about the last write of their own connection, so that one must write. It does no harm to a full
# Valkey, which must still be able to confirm what it took.
_MARK = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], ARGV[1])"

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Settlement(Generic[T]):
    """Receipts of what Valkey took, given back when it is where `spec.delivery.durability` wants it.

    Questions go over a connection of their own, and nobody waits for the answers: pushes go on meanwhile.
    """

    def __init__(
        self, client: valkey.Valkey, prefix: str, delivery: Delivery, unmet: Callable[[Durability], None]
    ) -> None:
        """*unmet* is called whenever Valkey says that it cannot give the durability."""
        self._client = client
        self._key = f"{prefix}:durable"
        self._durability = delivery.durability or Durability.FSYNC
        self._replicas = delivery.needed_replicas
        marks = [] if self._durability is Durability.MEMORY else [Need(self._key, "string", ("SET", self._key, ""))]
        self._needs = Needs(client, marks, in_full=True)
        self._unmet = unmet
        self._connection: Any = None
        self._answers: list[Any] = []
        self._next = 0.0
        self._pushed: list[T] = []
        self._asked: deque[list[T]] = deque()
        self._seldom = Seldom()

    def prove(self) -> None:
        """Raise what a Valkey raises that would not be asked now."""
        self._needs.prove()

    def push(self, receipt: T) -> None:
        """*receipt* is for something that Valkey took."""
        self._pushed.append(receipt)

    def __bool__(self) -> bool:
        return bool(self._pushed) or any(self._asked)

    def settled(self) -> list[T]:
        """What is safe by now, in order. Raises what a Valkey raises that is away."""
        if self._durability is Durability.MEMORY:
            return self._all()
        found: list[T] = []
        if self._connection is not None and self._answered():
            found = self._judge()
        if self and self._connection is None and time.monotonic() >= self._next:
            self._ask()
        return found

    def clear(self) -> None:
        """Forget everything; what was not given back must be pushed again."""
        self._all()
        self._release(broken=True)

    def _all(self) -> list[T]:
        found = [receipt for batch in (*self._asked, self._pushed) for receipt in batch]
        self._asked.clear()
        self._pushed = []
        return found

    def _ask(self) -> None:
        question: tuple[str | int, ...] = ("WAIT", self._replicas, ANSWER_MILLISECONDS)
        if self._durability is Durability.FSYNC:
            question = ("WAITAOF", 1, 0, ANSWER_MILLISECONDS)
        self._connection, self._answers = self._client.connection_pool.get_connection("WAIT"), []
        mark = ("EVAL", _MARK, 1, self._key, int(time.time()))
        try:
            self._connection.send_packed_command(self._connection.pack_commands([mark, question]))
        except Exception:
            self._release(broken=True)
            raise
        self._asked.append(self._pushed)
        self._pushed = []

    def _answered(self) -> bool:
        assert self._connection is not None
        try:
            while len(self._answers) < 2 and self._connection.can_read(timeout=0):
                try:
                    self._answers.append(self._connection.read_response())
                except ResponseError as error:
                    self._answers.append(error)
        except Exception:
            self._release(broken=True)
            raise
        return len(self._answers) == 2

    def _judge(self) -> list[T]:
        mark, answer = self._answers
        self._release(broken=False)
        fsync = self._durability is Durability.FSYNC
        self._next = time.monotonic() + (FSYNC_SECONDS if fsync else REPLICA_SECONDS)
        if isinstance(mark, ResponseError):
            raise mark
        if isinstance(answer, ResponseError):
            if isinstance(answer, NoPermissionError) or "appendonly is disabled" in str(answer):
                return self._as_memory(str(answer))
            raise answer
        if answer[0] >= 1 if fsync else answer >= self._replicas:
            return self._asked.popleft() if len(self._asked) >= (FSYNC_ANSWERS if fsync else 1) else []
        if fsync and self._never_synchronizes():
            return self._as_memory("appendfsync is no")
        self._unmet(self._durability)
        if self._seldom("unmet"):
            want = "its disk" if fsync else f"{self._replicas} replicas, but on {answer}"
            _log.warning("what Valkey took is not on %s yet; it goes on no sooner", want)
        # an answer that did not come proves nothing: what was asked about waits for the next ones
        self._asked = deque([[receipt for batch in self._asked for receipt in batch]])
        return []

    def _never_synchronizes(self) -> bool:
        try:
            configured: Any = self._client.config_get("appendfsync")
        except ResponseError:
            return False
        return bool(configured.get("appendfsync") == "no")

    def _as_memory(self, why: str) -> list[T]:
        self._unmet(self._durability)
        if self._seldom("memory"):
            _log.warning(
                "Valkey cannot confirm that messages are on its disk (%s): they go on when they are in its memory."
                " Set appendonly yes and appendfsync everysec, or say delivery.durability: Memory",
                why,
            )
        return self._all()

    def _release(self, *, broken: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if broken:
                connection.disconnect()
            self._client.connection_pool.release(connection)
