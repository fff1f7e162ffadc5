"""How surely a bridge's messages arrive."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from headrace.api.model import ApiModel, Rule


class Guarantee(StrEnum):
    """What a message that is delivered again becomes."""

    EFFECTIVELY_ONCE = "EffectivelyOnce"
    AT_LEAST_ONCE = "AtLeastOnce"


class Durability(StrEnum):
    """Where a write to Valkey must be before it counts as done."""

    MEMORY = "Memory"
    FSYNC = "Fsync"
    REPLICA = "Replica"


class Delivery(ApiModel):
    """How surely messages arrive."""

    rules = (
        Rule(
            cel="!has(self.replicas) || (has(self.durability) && self.durability == 'Replica')",
            message="delivery.replicas goes with durability: Replica",
            holds=lambda self: self.replicas is None or self.durability is Durability.REPLICA,
        ),
    )

    guarantee: Guarantee = Guarantee.EFFECTIVELY_ONCE
    """EffectivelyOnce (the default): what Pulsar delivers again, or is sent to it again, is dropped. AtLeastOnce: from
    Pulsar it is written again, and a cursor that was moved back brings its messages again too; to Pulsar, the sink's
    topic need not deduplicate, and what is sent again after a crash may arrive twice."""
    durability: Durability | None = None
    """Where messages are in Valkey before Pulsar may forget them, or is sent them. Fsync (the default from Pulsar): on
    its disk. Replica: in the memory of `replicas` replicas. Memory (the default to Pulsar): in its own memory, so a
    Valkey that crashes loses what it had not written."""
    replicas: Annotated[int, Field(ge=1, le=16)] | None = None
    """How many replicas must have a message. Default 1."""

    @property
    def needed_replicas(self) -> int:
        """How many replicas must confirm a write; 0 when none need to."""
        return (self.replicas or 1) if self.durability is Durability.REPLICA else 0
