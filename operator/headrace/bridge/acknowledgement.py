"""What was pushed and must be acknowledged to Pulsar once it is safe in Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.bridge.batch import Batch, position
from headrace.bridge.cursor import Place
from headrace.bridge.durability import Settlement
from headrace.bridge.pulsar_library import Consumer, MessageId
from headrace.bridge.raw_entry import EntryId


@dataclass(frozen=True)
class Pushed:
    """A batch that Valkey took."""

    ids: Sequence[MessageId]
    """What to acknowledge."""
    partitions: Sequence[str]
    """The partition of each."""
    count: int
    """Messages."""
    number: int
    """Batches are numbered from 1."""


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
        self.done: dict[str, tuple[int, int]] = {}
        """The entry up to which each partition was acknowledged wholly, as far as is known, if not one by one."""
        self._last: dict[str, tuple[int, int]] = {}
        self._number = 0
        self._void: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._settlement)

    def add(self, batch: Batch, ceilings: Mapping[str, Place] | None = None) -> None:
        """*batch* was pushed just now. *ceilings*: for some partitions the entry that must not be acknowledged yet."""
        ids, partitions = batch.ids, batch.partitions
        if not self._individual:
            last = _last(batch, ceilings or {})
            ids, partitions = list(last.values()), list(last)
        self._number += 1
        self._settlement.push(Pushed(ids, partitions, len(batch), self._number))
        self.count += len(batch)

    def void(self, partition: str) -> None:
        """What *partition* gave up to now is not acknowledged: its consumer is connected anew, perhaps to another topic
        of its name. What it gave comes again if it is the same."""
        if self._settlement:
            self._void[partition] = self._number

    def settle(self, consumer: Consumer) -> bool:
        """Acknowledge what is safe by now; whether there was any. Raises what a Valkey raises that is away."""
        core, settled = consumer._consumer, self._settlement.settled()
        acknowledge = core.acknowledge if self._individual else core.acknowledge_cumulative
        for pushed in settled:
            lone: dict[str, list[Place]] = {}
            for partition, identity in self._valid(pushed):
                if self._individual and isinstance(identity, EntryId):
                    lone.setdefault(partition, []).append((identity.ledger_id(), identity.entry_id()))
                    continue
                acknowledge(identity)
                if not self._individual:
                    self._note(partition, *position(identity))
            for partition, places in lone.items():
                self._lone(partition, places)
            self.count -= pushed.count
        return bool(settled)

    def _note(self, partition: str, ledger: int, entry: int, index: int) -> None:
        """Whether all of an entry was acknowledged is known of one that is no batch, and when the next one is."""
        last = self._last.get(partition)
        if index < 0:
            self.done[partition] = ledger, entry
        elif last is not None and last != (ledger, entry):
            self.done[partition] = last
        self._last[partition] = ledger, entry

    def _valid(self, pushed: Pushed) -> Iterable[tuple[str, MessageId]]:
        pairs = zip(pushed.partitions, pushed.ids, strict=True)
        if not self._void:
            return pairs
        self._void = {partition: last for partition, last in self._void.items() if last >= pushed.number}
        return [pair for pair in pairs if pushed.number > self._void.get(pair[0], 0)]

    def clear(self) -> None:
        """Forget them all: the consumer is gone, and what it did not acknowledge comes again."""
        self._settlement.clear()
        self.count = 0
        self.done.clear()
        self._last.clear()
        self._void.clear()


def _last(batch: Batch, ceilings: Mapping[str, Place]) -> dict[str, MessageId]:
    """Of each partition the last message that may be acknowledged, if any. The client knows no other ids than those of
    messages that it gave out."""
    found = {}
    for partition, identity in batch.last().items():
        ceiling = ceilings.get(partition)
        if ceiling is None and not isinstance(identity, EntryId):
            found[partition] = identity
            continue
        for each in reversed(batch.by_partition()[partition]):
            below = ceiling is None or (each.ledger_id(), each.entry_id()) < ceiling
            if below and not isinstance(each, EntryId):
                found[partition] = each
                break
    return found
