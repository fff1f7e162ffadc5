"""What was pushed and must be acknowledged to Pulsar once it is safe in Valkey."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.bridge.batch import Batch
from headrace.bridge.durability import Settlement
from headrace.bridge.pulsar_library import Consumer, MessageId


@dataclass(frozen=True)
class Pushed:
    """A batch that Valkey took."""

    ids: Iterable[MessageId]
    """What to acknowledge."""
    count: int
    """Messages."""


class Acknowledgements:
    """Batches in the order of their pushes. The client sends acknowledgements later, and hears no answer."""

    def __init__(self, settlement: Settlement[Pushed], *, individual: bool) -> None:
        """*individual*: one for each message; else one for each partition, which stands for all before it."""
        self._settlement = settlement
        self._individual = individual
        self.count = 0
        """Messages that wait for theirs."""

    def __bool__(self) -> bool:
        return bool(self._settlement)

    def add(self, batch: Batch) -> None:
        """*batch* was pushed just now."""
        ids = batch.ids if self._individual else batch.last().values()
        self._settlement.push(Pushed(ids, len(batch)))
        self.count += len(batch)

    def settle(self, consumer: Consumer) -> bool:
        """Acknowledge what is safe by now; whether there was any. Raises what a Valkey raises that is away."""
        core, settled = consumer._consumer, self._settlement.settled()
        acknowledge = core.acknowledge if self._individual else core.acknowledge_cumulative
        for pushed in settled:
            for identity in pushed.ids:
                acknowledge(identity)
            self.count -= pushed.count
        return bool(settled)

    def clear(self) -> None:
        """Forget them all: the consumer is gone, and what it did not acknowledge comes again."""
        self._settlement.clear()
        self.count = 0
