"""Ids of what was pushed from a subscription whose messages are spread over replicas, and the line above which they are
needed. Below it, where everything is acknowledged, nothing is pushed whatever is delivered."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import valkey

from headrace.bridge.batch import Batch, Position
from headrace.bridge.remembered import Memory, Remembered
from headrace.bridge.scripts import proof, script

_LARGEST_INDEX = 0x7FFF_FFFE


def encoded(position: Position) -> bytes:
    """An id that sorts as bytes as positions do; in a topic without batches the index is -1."""
    ledger, entry, index = position
    return struct.pack(">QQI", ledger, entry + 1, index + 1)


class DeliveredIds:
    """The sorted sets in Valkey, one for each partition."""

    def __init__(self, client: valkey.Valkey, remembered: Remembered) -> None:
        self._client = client
        self._remembered = remembered
        self._raise, self._proof = (make(client, "preflight", "raise") for make in (script, proof))

    def prove(self) -> None:
        """Raise what Valkey raises that would lift no line now."""
        remembered = self._remembered
        keys = [remembered.watermark, remembered.ids(""), remembered.witness]
        self._proof(keys=keys, args=["", 0, 0, 0, "", "an epoch that there is not"])

    def arguments(self, batch: Batch) -> list[int | bytes]:
        """What spread.lua wants behind the messages."""
        found: list[int | bytes] = []
        for positions in batch.positions().values():
            found.append(len(positions))
            found += map(encoded, positions)
        return found

    def places(self, batch: Batch, answer: list[int]) -> set[int]:
        """Where in *batch* the messages stand that spread.lua answered with."""
        by_partition = list(batch.places().values())
        pairs = zip(answer[::2], answer[1::2], strict=True)
        return {by_partition[partition - 1][place - 1] for partition, place in pairs}

    def lift(self, memory: Memory, acknowledged: Mapping[str, tuple[int, int]]) -> int:
        """Lift the line of each partition to the (ledger, entry) up to which everything is acknowledged, though no
        higher than what was pushed: what an administrator skipped was not.

        *memory*: what was remembered before the broker was asked. Returns how many ids were forgotten. A line never
        goes down.
        """
        forgotten = 0
        for partition, (ledger, entry) in acknowledged.items():
            if witness := memory.witnesses.get(partition):
                top = min((ledger, entry, _LARGEST_INDEX), witness.position)
                remembered, epoch = self._remembered, memory.epochs.get(partition, 0)
                keys = [remembered.watermark, remembered.ids(partition), remembered.witness]
                answer: Any = self._raise(keys=keys, args=[partition, *top, encoded(top), epoch])
                forgotten += answer
        return forgotten
