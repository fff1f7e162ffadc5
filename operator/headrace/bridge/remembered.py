"""What Valkey remembers of one subscription of a bridge: how far each partition was pushed, and of which topic it is.

Each position belongs to the subscription, by the name of its key, and to the topic, by its witness: see
:mod:`headrace.bridge.incarnation`. The *epoch* counts how often a partition's topic turned out to be another one. It
fences: what was under way when a position was dropped finds another epoch than it knows, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import valkey

from headrace.bridge.batch import Position, apart
from headrace.bridge.incarnation import Witness
from headrace.bridge.scripts import script

WHOLE = ""
"""The beginning of a partition that is read whole."""


def encode(position: Position | None) -> str:
    """``ledger:entry:index``; empty for None."""
    return ":".join(map(str, position)) if position else ""


def decode(text: str) -> Position:
    """The inverse of :func:`encode`."""
    ledger, entry, index = (int(part) for part in text.split(":"))
    return ledger, entry, index


@dataclass(slots=True)
class Memory:
    """Everything that is remembered, as it was when it was read."""

    marks: dict[str, Position] = field(default_factory=dict)
    """By partition: what lies at or below was pushed before."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Of the partitions whose topic was another one once."""
    witnesses: dict[str, Witness] = field(default_factory=dict)
    """The highest message of each partition that was pushed."""
    beginnings: dict[str, Witness | None] = field(default_factory=dict)
    """The last message before the subscription's beginning, of partitions that were read before; None: none of them is
    left out."""


class Remembered:
    """The keys, and what is read and dropped as a whole."""

    def __init__(self, client: valkey.Valkey, prefix: str, subscription: str) -> None:
        self._client = client
        self._prefix = prefix
        self._subscription = subscription
        self._base = ""
        self._forget = script(client, "preflight", "forget")

    @property
    def base(self) -> str:
        """What the keys begin with; raises a Valkey's errors at its first use.

        The first subscription that a bridge reads has the plain names, which older versions had for all. Another one,
        of a bridge whose `subscription` was changed, has names of its own: it begins where it begins.
        """
        if not self._base:
            key = f"{self._prefix}:subscription"
            first: Any = self._client.set(key, self._subscription, nx=True, get=True)
            ours = first is None or first.decode() == self._subscription
            self._base = self._prefix if ours else f"{key}:{self._subscription}"
        return self._base

    @property
    def watermark(self) -> str:
        """The hash of positions."""
        return f"{self.base}:watermark"

    @property
    def witness(self) -> str:
        """The hash of epochs and witnesses: ``epoch witness``, or ``epoch``."""
        return f"{self.base}:witness"

    @property
    def beginning(self) -> str:
        """The hash of beginnings."""
        return f"{self.base}:beginning"

    def ids(self, partition: str) -> str:
        """The set of ids of one partition, above the watermark."""
        return f"{self.base}:delivered:{partition}"

    def load(self) -> Memory:
        """Read it all."""
        memory = Memory(marks={name: decode(mark) for name, mark in self._read(self.watermark).items()})
        for name, text in self._read(self.witness).items():
            epoch, _, witness = text.partition(" ")
            if int(epoch):
                memory.epochs[name] = int(epoch)
            if witness:
                memory.witnesses[name] = Witness.parse(witness)
        for name, text in self._read(self.beginning).items():
            memory.beginnings[name] = Witness.parse(text) if text else None
        return memory

    def begin(self, beginnings: Mapping[str, Witness | None]) -> None:
        """Remember the beginnings of partitions, and of topics that are not there yet; those that are known stay."""
        for name, witness in beginnings.items():
            self._client.hsetnx(self.beginning, name, witness.encode() if witness else WHOLE)

    def forget(self, partition: str, epoch: int) -> None:
        """The partition's topic is another one than that of *epoch*: drop all but that; unless another replica did."""
        ids = (self.ids(partition), self.ids(apart(partition)))
        self._forget(keys=[self.watermark, self.witness, self.beginning, *ids], args=[partition, epoch])

    def _read(self, key: str) -> dict[str, str]:
        found: Any = self._client.hgetall(key)
        return {name.decode(): value.decode() for name, value in found.items()}


class ReplayMemory(Remembered):
    """Of a replay of the topics, which pushes once more what lies below the subscription's watermark."""

    def __init__(self, client: valkey.Valkey, prefix: str, replay: str) -> None:
        super().__init__(client, prefix, "")
        self._base = f"{prefix}:replay:{replay}"
