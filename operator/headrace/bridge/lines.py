"""The lines of a bridge: what it moves from Valkey to Pulsar. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headrace.api.bridge_sink import Compression, Envelope
from headrace.api.bridge_source import ListFormat, ListSource, ValkeySource
from headrace.api.delivery import Delivery, Durability
from headrace.api.policy import Batching
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.limits import MAX_MESSAGE_BYTES
from headrace.bridge.routing import Routing, Target, entry_format

IN_MEMORY = Delivery(durability=Durability.MEMORY)


@dataclass(frozen=True)
class Line:
    """One source in Valkey and the topic it goes to."""

    source: ValkeySource
    """The list or stream."""
    prefix: str
    """Our own keys begin with it."""
    sink_topic: str
    dead_letter_topic: str
    key: str | None
    compression: Compression
    identity: str
    """``Kind/namespace/name``, and what it is for when a bridge has several lines."""
    main: bool = True
    """Whether this line is what the bridge is for: its sides are the process's sides, its backlog the bridge's."""
    max_message_bytes: int = MAX_MESSAGE_BYTES
    batching: Batching = field(default_factory=Batching)
    envelope: Envelope = Envelope.RAW
    properties: Mapping[str, str] = field(default_factory=dict)
    event_time: str | None = None
    chunking: bool = False
    announce: str | None = None
    """A channel of Valkey that hears of each message when Pulsar has it."""
    delivery: Delivery = IN_MEMORY
    shard: int | None = None
    """Which shard of the bridge's source it is; None when it is no shard."""

    def routing(self, sink: Target, dead_letter: Target, installation: str) -> Routing:
        """How its entries go to these topics."""
        return Routing(
            sink=sink,
            dead_letter=dead_letter,
            format=entry_format(self.source),
            payload_field=self.source.stream.payload_field if self.source.stream else None,
            key=self.key,
            source=self.identity,
            limit_bytes=self.max_message_bytes,
            envelope=self.envelope,
            properties=dict(self.properties),
            event_time=self.event_time,
            chunking=self.chunking,
            shard=self.shard,
            installation=installation,
        )


def source_lines(bridge: PulsarBridge, prefix: str, max_message_bytes: int) -> list[Line]:
    """The lines of a bridge whose source is in Valkey: the key itself, then its shards, each a line of its own."""
    source, sink = bridge.spec.source.valkey, bridge.spec.sink.pulsar
    assert source is not None
    assert sink is not None
    whole = Line(
        source=source,
        prefix=prefix,
        sink_topic=sink.topic,
        dead_letter_topic=bridge.spec.dead_letter_topic,
        key=sink.key,
        compression=sink.compression,
        batching=sink.batching,
        identity=bridge.identity,
        max_message_bytes=max_message_bytes,
        envelope=sink.envelope,
        properties=sink.properties,
        event_time=sink.event_time,
        delivery=bridge.spec.effective_delivery,
        chunking=sink.chunking,
        announce=sink.announce.channel if sink.announce else None,
    )
    shards = [
        replace(whole, source=source.shard(number), prefix=f"{prefix}:shard-{number}", shard=number)
        for number in range(source.shards)
    ]
    return [whole, *shards]


def dead_letter_line(bridge: PulsarBridge, prefix: str, max_message_bytes: int) -> Line:
    """The line of the dead letters and retry letters of a bridge whose source is in Pulsar."""
    return Line(
        source=ValkeySource(list=ListSource(key=f"{prefix}:dead-letters", format=ListFormat.OUTBOX)),
        prefix=f"{prefix}:dead-letters",
        sink_topic=bridge.spec.retry_topic or bridge.spec.dead_letter_topic,
        dead_letter_topic=bridge.spec.dead_letter_topic,
        key=None,
        compression=Compression.LZ4,
        identity=bridge.identity,
        main=False,
        max_message_bytes=max_message_bytes,
        chunking=bridge.spec.retry_topic is not None,  # its producer sends one by one, as letters that wait must go
    )
