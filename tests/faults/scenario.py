"""The ways through the bridge that are put to the test: where its messages come from, and what is at the end."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from testbed.loopback import HOST
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.faults.traffic import LIST_PUSH, STREAM_PUSH, TopicTraffic, Traffic, ValkeyTraffic
from tests.faults.verdict import Found
from tests.integration.dataplane import backlog, create_topic, read_topic, resource

NAME = "crash"
PREFIX = f"headrace:{{test/{NAME}}}"
LIST = "messages"
SUBSCRIPTION = "shop"
BEHIND = 300
"""A bridge that has fewer messages than this before it has caught up."""


@dataclass(frozen=True)
class Point:
    """A moment in the bridge's work, by a call at which it is killed: see `tests.integration.deadly`."""

    call: str
    """``module:Class.method``, with ``@before`` for its beginning."""
    most: int
    """The death comes at the call of a random number, this one at most."""


@dataclass(frozen=True)
class Servers:
    """What one run has for itself, but for the Pulsar, which runs share."""

    valkey: Valkey
    proxy: Proxy
    """The bridge's way to Valkey; everybody else goes straight."""
    pulsar: Pulsar
    topic: str


class Scenario(ABC):
    """One direction, with its messages."""

    points: Mapping[str, Point]
    naive_points: Mapping[str, Point]
    """The same for the control."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    @abstractmethod
    def prepare(self) -> None:
        """Make the topics."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The PulsarBridge."""

    @abstractmethod
    def traffic(self, rate: int) -> Traffic:
        """The producer."""

    @abstractmethod
    def behind(self, accepted: int) -> int:
        """How many of the *accepted* messages are not at the end yet, about."""

    @abstractmethod
    def drained(self) -> bool:
        """Whether the bridge has nothing left to do."""

    @abstractmethod
    def found(self) -> list[Found]:
        """What is at the end, each group in the order of a consumer."""

    def _bridge(self, source: dict[str, Any], sink: dict[str, Any]) -> dict[str, Any]:
        pulsar = {"serviceUrl": self.servers.pulsar.service_url, "adminUrl": self.servers.pulsar.admin_url}
        valkey = {"url": f"valkey://{HOST}:{self.servers.proxy.port}/0"}
        return resource("PulsarBridge", NAME, {"source": source, "sink": sink, "valkey": valkey, "pulsar": pulsar})


class ListToPulsar(Scenario):
    """Valkey to Pulsar. A topic without partitions keeps the order of the list, a keyed one that of each key."""

    points: Mapping[str, Point] = {
        "after the cut": Point("headrace.bridge.cut:CutStore.next", 20),
        "while sending": Point("headrace.bridge.publisher:_Writer.write", 20),
        "after a frame": Point("headrace.bridge.publisher:_Writer._send", 20),
        "after the flush": Point("headrace.bridge.publisher:Transmission.wait", 10),
        "before the commit": Point("headrace.bridge.cut:CutStore.commit@before", 10),
        "after the commit": Point("headrace.bridge.cut:CutStore.commit", 10),
    }
    naive_points: Mapping[str, Point] = {
        "after the pop": Point("tests.faults.naive:ListToTopic.take", 30),
        "after the send": Point("tests.faults.naive:ListToTopic.give", 30),
    }

    def __init__(self, servers: Servers, partitions: int) -> None:
        super().__init__(servers)
        self._partitions = partitions

    def prepare(self) -> None:
        """The sink, and where poison would go."""
        create_topic(self.servers.pulsar, self.servers.topic, self._partitions)
        create_topic(self.servers.pulsar, f"{self.servers.topic}-DLQ")

    def document(self) -> dict[str, Any]:
        """With a key when there is a choice of partitions."""
        sink = {"topic": self.servers.topic, **({"key": "key"} if self._partitions else {})}
        return self._bridge({"valkey": {"list": {"key": LIST}}}, {"pulsar": sink})

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
        return [Found(message["id"], message["key"] if self._partitions else "") for message in messages]


class StreamToPulsar(ListToPulsar):
    """A stream, read by a group and trimmed behind it, to a topic without partitions."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers, partitions=0)

    def document(self) -> dict[str, Any]:
        """The payload is one field."""
        stream = {"key": LIST, "payloadField": "payload", "trim": True}
        return self._bridge({"valkey": {"stream": stream}}, {"pulsar": {"topic": self.servers.topic}})

    def traffic(self, rate: int) -> Traffic:
        """Adds to the stream."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, STREAM_PUSH)

    def behind(self, accepted: int) -> int:
        """What the group has not read, and what is in flight."""
        with self.servers.valkey.client() as client:
            groups: Any = client.xinfo_groups(LIST) if client.exists(LIST) else []
            unread = groups[0]["lag"] if groups else client.xlen(LIST)
            return int(unread) + int(client.llen(f"{PREFIX}:cut"))


class PulsarToList(Scenario):
    """Pulsar to Valkey, as entries of a list or as Celery tasks; each partition keeps its order, so each key too."""

    points: Mapping[str, Point] = {
        "before the push": Point("headrace.bridge.delivery:DeliveryStore.push@before", 6),
        "after the push": Point("headrace.bridge.delivery:DeliveryStore.push", 6),
        "after an acknowledgement": Point("headrace.bridge.inward:Inward._settle", 40),
    }
    naive_points: Mapping[str, Point] = {
        "after the receive": Point("tests.faults.naive:TopicToList.take", 30),
        "after the push": Point("tests.faults.naive:TopicToList.give", 30),
    }

    def __init__(self, servers: Servers, celery: bool) -> None:
        super().__init__(servers)
        self._celery = celery

    def prepare(self) -> None:
        """The source, with deduplication for the producer's sake, and where poison would go."""
        create_topic(self.servers.pulsar, self.servers.topic, 2)
        create_topic(self.servers.pulsar, f"{self.servers.topic}-{SUBSCRIPTION}-DLQ")

    def document(self) -> dict[str, Any]:
        """To a list, or to a queue with the list's name."""
        sink = {"celery": {"task": "shop.price", "queue": LIST}} if self._celery else {"list": {"key": LIST}}
        source = {"topic": self.servers.topic, "subscription": SUBSCRIPTION}
        return self._bridge({"pulsar": source}, {"valkey": sink})

    def traffic(self, rate: int) -> Traffic:
        """Publishes to the topic."""
        return TopicTraffic(self.servers.pulsar, self.servers.topic, rate)

    def behind(self, accepted: int) -> int:
        """What the list lacks."""
        with self.servers.valkey.client() as client:
            return accepted - int(client.llen(LIST))

    def drained(self) -> bool:
        """Everything is acknowledged."""
        try:
            return backlog(self.servers.pulsar, self.servers.topic, SUBSCRIPTION) == 0
        except (OSError, KeyError):
            return False  # a broker that was killed just now

    def found(self) -> list[Found]:
        """The list from its right end, where consumers take."""
        with self.servers.valkey.client() as client:
            entries: list[str] = client.lrange(LIST, 0, -1)
        messages = [json.loads(_argument(entry) if self._celery else entry) for entry in reversed(entries)]
        return [Found(message["id"], message["key"]) for message in messages]


def _argument(envelope: str) -> str:
    """The only argument of a task in Celery's message protocol 2."""
    message = json.loads(envelope)
    [argument], keywords, _ = json.loads(message["body"])
    assert keywords == {}
    assert message["headers"]["task"] == "shop.price"
    return json.dumps(argument)


SCENARIOS: Mapping[str, Callable[[Servers], Scenario]] = {
    "list-to-pulsar": partial(ListToPulsar, partitions=0),
    "list-to-pulsar-keyed": partial(ListToPulsar, partitions=4),
    "stream-to-pulsar": StreamToPulsar,
    "pulsar-to-list": partial(PulsarToList, celery=False),
    "pulsar-to-celery": partial(PulsarToList, celery=True),
}
