"""Where the messages of a cut go. Stored with the cut: a replay must make the same frames, whatever changed since."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum

import orjson

from headrace.api.bridge_sink import Envelope
from headrace.api.bridge_source import ListFormat, ValkeySource
from headrace.bridge.limits import MAX_MESSAGE_BYTES
from headrace.bridge.sharding import java_string_hash

RULES = 1
"""By which rules entries become messages today. Cuts that were made before 1 was there keep those of then (0): numbers
and records as orjson reads them, of a stream's field that stands there twice the last value."""

_GOLDEN_RATIO = 2_654_435_769
"""2**32 by the golden ratio: multiplied by it, regular numbers lie evenly (Knuth's multiplicative hashing)."""


class EntryFormat(StrEnum):
    """What the entries of a cut are. Stored with it, so names stay."""

    RAW = ListFormat.RAW.value
    OUTBOX = ListFormat.OUTBOX.value
    FIELDS = "Fields"
    """Of a stream: id, fields and values, as take_stream.lua writes them."""
    PUBLISHED = "Published"
    """Of a channel: its name and the payload, as reception.py writes them."""


def entry_format(source: ValkeySource) -> EntryFormat:
    """What the entries of *source* are."""
    if source.list:
        return EntryFormat(source.list.format)
    return EntryFormat.FIELDS if source.stream else EntryFormat.PUBLISHED


@dataclass(frozen=True)
class Target:
    """A topic and how many partitions it had when the cut was made (0: it has none)."""

    topic: str
    partitions: int

    @property
    def topics(self) -> list[str]:
        """Names of all partitions' topics."""
        return [self.partition_topic(partition) for partition in range(max(self.partitions, 1))]

    def partition_topic(self, partition: int) -> str:
        """Name of one partition's topic."""
        return f"{self.topic}-partition-{partition}" if self.partitions else self.topic

    def partition_of(self, key: str | None, otherwise: int) -> int:
        """The partition of *key* as Pulsar's Java client chooses it by default; without a key one that *otherwise*
        gives, any number: close ones and regular ones are spread alike."""
        if not self.partitions:
            return 0
        if key:
            return java_string_hash(key) % self.partitions
        return (otherwise * _GOLDEN_RATIO & 0xFFFFFFFF) * self.partitions >> 32


@dataclass(frozen=True)
class Routing:
    """Everything that decides what an entry becomes."""

    sink: Target
    dead_letter: Target
    format: EntryFormat
    key: str | None
    source: str
    """``Kind/namespace/name`` of the bridge."""
    limit_bytes: int = MAX_MESSAGE_BYTES
    payload_field: str | None = None
    """The field of a stream's entry that is the payload; None for all of them as JSON."""
    properties: dict[str, str] = field(default_factory=dict)
    """Selectors of properties, by name."""
    event_time: str | None = None
    """Selector of the event time."""
    chunking: bool = False
    """Whether messages that are larger than the broker takes go to the sink in chunks, or to the dead letters."""
    envelope: Envelope = Envelope.RAW
    """What surrounds the payloads for the sink; dead letters have none."""
    shard: int | None = None
    """Of which shard of the source the cut is; None when it has none."""
    installation: str = ""
    """Which counter its sequence ids are of, see ``Identity``. Cuts of an older version have none."""
    rules: int = RULES
    """See :data:`RULES`."""
    named_from: int | None = None
    """The first id that the cut had when it was made, if it has another one now: envelopes are named by that."""
    landed: tuple[int, ...] = ()
    """Places in the cut, from 0, of what Pulsar had when the cut got another route: this is not sent."""

    @property
    def producer(self) -> str:
        """Name of the producers, so that no sequence ids of another counter are taken for a repetition."""
        shard = "" if self.shard is None else f"/shard-{self.shard}"
        return f"headrace/{self.source}{shard}{self._signature}"

    def cut_name(self, made: int, first: int, *, dead: bool) -> str:
        """What the marks of a cut's messages begin with."""
        shard = "" if self.shard is None else f"shard-{self.shard}:"
        return f"{self.source}{self._signature}{'/dead-letters' if dead else ''}:{shard}{made}-{first}"

    @property
    def _signature(self) -> str:
        return self.installation and f"@{self.installation}"

    def to_wire(self) -> bytes:
        """As stored with a cut."""
        return orjson.dumps(asdict(self))

    @classmethod
    def parse(cls, wire: bytes) -> Routing:
        """The inverse of :meth:`to_wire`."""
        body = orjson.loads(wire)
        return cls(
            sink=Target(**body.pop("sink")),
            dead_letter=Target(**body.pop("dead_letter")),
            format=EntryFormat(body.pop("format")),
            envelope=Envelope(body.pop("envelope", Envelope.RAW)),  # cuts of an older version have none
            rules=body.pop("rules", 0),
            landed=tuple(body.pop("landed", ())),
            **body,
        )
