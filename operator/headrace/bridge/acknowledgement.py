"""What was pushed and must be acknowledged to Pulsar once it is safe in Valkey."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from headrace.bridge.batch import Batch
from headrace.bridge.pulsar_library import Consumer, MessageId

SETTLE_SECONDS = 2.5
"""Valkey with `appendfsync everysec` has a write on disk after at most two seconds. Only then is it acknowledged to
Pulsar, so that a Valkey that is killed loses nothing: Pulsar delivers again, and what survived is dropped."""


@dataclass(frozen=True)
class _Pushed:
    at: float
    """When, by the monotonic clock."""
    ids: Iterable[MessageId]
    """What to acknowledge."""
    count: int
    """Messages."""


class Acknowledgements:
    """Batches in the order of their pushes. The client sends acknowledgements later, and hears no answer."""

    def __init__(self, *, individual: bool) -> None:
        """*individual*: one for each message; else one for each partition, which stands for all before it."""
        self._individual = individual
        self._pushed: deque[_Pushed] = deque()
        self.count = 0
        """Messages that wait for theirs."""

    def __bool__(self) -> bool:
        return bool(self._pushed)

    def add(self, batch: Batch) -> None:
        """*batch* was pushed just now."""
        ids = batch.ids if self._individual else batch.last().values()
        self._pushed.append(_Pushed(time.monotonic(), ids, len(batch)))
        self.count += len(batch)

    def settle(self, consumer: Consumer) -> bool:
        """Acknowledge what is safe by now; whether there was any."""
        before = time.monotonic() - SETTLE_SECONDS
        core, settled = consumer._consumer, False
        acknowledge = core.acknowledge if self._individual else core.acknowledge_cumulative
        while self._pushed and self._pushed[0].at <= before:
            batch = self._pushed.popleft()
            for identity in batch.ids:
                acknowledge(identity)
            self.count -= batch.count
            settled = True
        return settled

    def wait(self) -> None:
        """Wait until the oldest batch is safe."""
        if self._pushed:
            time.sleep(max(0.0, self._pushed[0].at + SETTLE_SECONDS - time.monotonic()))

    def clear(self) -> None:
        """Forget them all: the consumer is gone, and what it did not acknowledge comes again."""
        self._pushed.clear()
        self.count = 0
