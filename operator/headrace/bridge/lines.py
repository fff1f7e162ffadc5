"""The lines of a bridge: what it moves from Valkey to Pulsar. Pure."""

from __future__ import annotations

from dataclasses import replace

from headrace.api.bridge_sink import Compression
from headrace.api.bridge_source import ListFormat, ListSource, ValkeySource
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.bridge.outward import Line


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
