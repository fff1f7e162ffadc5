"""What was pushed and must be acknowledged to Pulsar once it is safe in Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.bridge.batch import Batch
from headrace.bridge.cursor import Place
from headrace.bridge.durability import Settlement
from headrace.bridge.pulsar_library import Consumer, MessageId
from headrace.bridge.raw_entry import EntryId


@dataclass(frozen=True)
class Pushed:
    """A batch that Valkey took."""

    ids: Iterable[MessageId]
    """What to acknowledge."""
    lone: Mapping[str, Sequence[Place]]
    """Entries that the client did not give out, by partition."""
    count: int
    """Messages."""


class Acknowledgements:
    """Batches in the order of their pushes. The client sends acknowledgements later, and hears no answer."""

    def __init__(
        self, settlement: Settlement[Pushed], lone: Callable[[str, Sequence[Place]], None], *, individual: bool
    ) -> None:
        """*individual*: one for each message; else one for each partition, which stands for all before it. *lone*
        acknowledges entries of a partition that the client did not give out."""
        self._settlement = settlement
        self._lone = lone
        self._individual = individual
        self.count = 0
        """Messages that wait for theirs."""

    def __bool__(self) -> bool:
        return bool(self._settlement)

    def add(self, batch: Batch, ceilings: Mapping[str, Place] | None = None) -> None:
        """*batch* was pushed just now. *ceilings*: for some partitions the entry that must not be acknowledged yet."""
        ids = batch.ids if self._individual else _last(batch, ceilings or {})
        lone: dict[str, list[Place]] = {}
        if self._individual and batch.ids and isinstance(batch.ids[-1], EntryId):
            for partition, identity in zip(batch.partitions, batch.ids, strict=True):
                lone.setdefault(partition, []).append((identity.ledger_id(), identity.entry_id()))
            ids = []
        self._settlement.push(Pushed(ids, lone, len(batch)))
        self.count += len(batch)

    def settle(self, consumer: Consumer) -> bool:
        """Acknowledge what is safe by now; whether there was any. Raises what a Valkey raises that is away."""
        core, settled = consumer._consumer, self._settlement.settled()
        acknowledge = core.acknowledge if self._individual else core.acknowledge_cumulative
        for pushed in settled:
            for identity in pushed.ids:
                acknowledge(identity)
            for partition, places in pushed.lone.items():
                self._lone(partition, places)
            self.count -= pushed.count
        return bool(settled)

    def clear(self) -> None:
        """Forget them all: the consumer is gone, and what it did not acknowledge comes again."""
        self._settlement.clear()
        self.count = 0


def _last(batch: Batch, ceilings: Mapping[str, Place]) -> list[MessageId]:
    """Of each partition the last message that may be acknowledged, if any. The client knows no other ids than those of
    messages that it gave out."""
    found = []
    for partition, identity in batch.last().items():
        ceiling = ceilings.get(partition)
        if ceiling is None and not isinstance(identity, EntryId):
            found.append(identity)
            continue
        for each in reversed(batch.by_partition()[partition]):
            below = ceiling is None or (each.ledger_id(), each.entry_id()) < ceiling
            if below and not isinstance(each, EntryId):
                found.append(each)
                break
    return found
