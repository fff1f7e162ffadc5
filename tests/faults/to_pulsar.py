"""Valkey to Pulsar."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.faults.network import Network
from tests.faults.scenario import LIST, PREFIX, Point, Scenario
from tests.faults.traffic import LIST_PUSH, STREAM_PUSH, Traffic, ValkeyTraffic
from tests.faults.verdict import Found
from tests.integration.dataplane import create_topic, keep_messages, read_topic

NUMBER = re.compile(r'"id": (\d+)')
"""Finds the messages in what a cut holds of them."""


class ListToPulsar(Scenario):
    """Valkey to Pulsar. A topic without partitions keeps the order of the list, a partitioned one that of each key."""

    points: Mapping[str, Point] = {
        "after the cut": Point("headrace.bridge.publisher:Publisher.publish@before", 20),
        "while sending": Point("headrace.bridge.publisher:_Writer.write", 20),
        "after a frame": Point("headrace.bridge.publisher:_Writer._send", 20),
        "after the flush": Point("headrace.bridge.publisher:Transmission.wait", 10),
        "before the commit": Point("headrace.bridge.cut:CutStore.commit@before", 10),
        "after the commit": Point("headrace.bridge.cut:CutStore.commit", 10),
    }
    leased = True
    control = "list-to-pulsar"
    naive_points: Mapping[str, Point] = {
        "after the pop": Point("tests.faults.naive:ListToTopic.take", 30),
        "after the send": Point("tests.faults.naive:ListToTopic.give", 30),
    }

    partitions = 0
    keyed = False
    """Whether each key keeps its order, in whichever partition."""
    sink: Mapping[str, Any] = {}
    """Fields beside the topic."""

    def prepare(self) -> None:
        """The sink, and where poison would go."""
        create_topic(self.servers.pulsar, self.servers.topic, self.partitions)
        keep_messages(self.servers.pulsar, self.servers.topic)
        create_topic(self.servers.pulsar, f"{self.servers.topic}-DLQ")

    def document(self, network: Network) -> dict[str, Any]:
        """From the list."""
        sink = {"topic": self.servers.topic, **self.sink}
        return self._bridge(network, {"valkey": {"list": {"key": LIST}}}, {"pulsar": sink})

    def traffic(self, rate: int) -> Traffic:
        """Pushes to the list."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, LIST_PUSH)

    def behind(self, accepted: int) -> int:
        """What is in the list and in flight."""
        with self.servers.valkey.client() as client:
            return int(client.llen(LIST)) + int(client.llen(f"{PREFIX}:cut"))

    def drained(self) -> bool:
        """No message waits, no cut is in flight."""
        return self.behind(0) == 0

    def found(self) -> list[Found]:
        """The topic, read from its beginning."""
        messages = [json.loads(message.data()) for message in read_topic(self.servers.pulsar, self.servers.topic)]
        return [Found(message["id"], message["key"] if self.keyed else "") for message in messages]

    def in_flight(self) -> set[int]:
        """The messages that are cut and not committed."""
        with self.servers.valkey.client() as client:
            entries: list[str] = client.lrange(f"{PREFIX}:cut", 0, -1)
        return {int(number) for entry in entries for number in NUMBER.findall(entry)}


class KeyedListToPulsar(ListToPulsar):
    """With a choice of partitions, and two cuts in flight as soon as a little waits."""

    partitions = 4
    keyed = True
    sink = {"key": "key", "batching": {"maxMessages": 20}}


class StreamToPulsar(ListToPulsar):
    """A stream, read by a group and trimmed behind it, to a topic without partitions."""

    def document(self, network: Network) -> dict[str, Any]:
        """The payload is one field."""
        stream = {"key": LIST, "payloadField": "payload", "trim": True}
        return self._bridge(network, {"valkey": {"stream": stream}}, {"pulsar": {"topic": self.servers.topic}})

    def traffic(self, rate: int) -> Traffic:
        """Adds to the stream."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, STREAM_PUSH)

    def behind(self, accepted: int) -> int:
        """What the group has not read, and what is in flight."""
        with self.servers.valkey.client() as client:
            groups: Any = client.xinfo_groups(LIST) if client.exists(LIST) else []
            unread = groups[0]["lag"] if groups else client.xlen(LIST)
            return int(unread) + int(client.llen(f"{PREFIX}:cut"))
