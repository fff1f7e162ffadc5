"""Pulsar to Valkey."""

import json
from collections.abc import Mapping
from typing import Any

import pulsar

from tests.faults.network import Network
from tests.faults.scenario import LIST, Point, Scenario
from tests.faults.traffic import TopicTraffic, Traffic
from tests.faults.verdict import Found
from tests.integration.dataplane import backlog, create_subscription, create_topic, keep_messages, read_topic, unload

SUBSCRIPTION = "shop"


class PulsarToList(Scenario):
    """Pulsar to Valkey, as entries of a list; each partition keeps its order, so each key too."""

    points: Mapping[str, Point] = {
        "before the push": Point("headrace.bridge.delivery:DeliveryStore.push@before", 6),
        "after the push": Point("headrace.bridge.delivery:DeliveryStore.push", 6),
        "before an acknowledgement": Point("_pulsar:Consumer.acknowledge_cumulative@before", 3),
        "after an acknowledgement": Point("_pulsar:Consumer.acknowledge_cumulative", 3),
    }
    leased = False
    control = "pulsar-to-list"
    source: Mapping[str, Any] = {}
    """Fields beside topic and subscription."""
    sink: Mapping[str, Any] = {"list": {"key": LIST}}
    subscription_type = pulsar.ConsumerType.Failover
    more: Mapping[str, Any] = {}
    """Fields of the bridge beside source and sink."""
    naive_points: Mapping[str, Point] = {
        "after the receive": Point("tests.faults.naive:TopicToList.take", 30),
        "after the push": Point("tests.faults.naive:TopicToList.give", 30),
    }

    def prepare(self) -> None:
        """The source, with deduplication for the producer's sake, and where poison would go."""
        create_topic(self.servers.pulsar, self.servers.topic, 2)
        keep_messages(self.servers.pulsar, self.servers.topic)
        create_topic(self.servers.pulsar, f"{self.servers.topic}-{SUBSCRIPTION}-DLQ")

    def dispossess(self, owners: set[str]) -> None:
        """The broker must forget the first consumer, as it does after a minute."""
        with self.servers.pulsar.turn():
            unload(self.servers.pulsar, self.servers.topic)

    def document(self, network: Network) -> dict[str, Any]:
        """From two partitions."""
        source = {"topic": self.servers.topic, "subscription": SUBSCRIPTION, **self.source}
        document = self._bridge(network, {"pulsar": source}, {"valkey": self.sink})
        document["spec"].update(self.more)
        return document

    def traffic(self, rate: int) -> Traffic:
        """Publishes to the topic."""
        return TopicTraffic(self.servers.pulsar, self.servers.topic, rate)

    def behind(self, accepted: int) -> int:
        """What the list lacks."""
        with self.servers.valkey.client() as client:
            return accepted - int(client.llen(LIST)) - len(self.ledger.earlier) - len(self.ledger.shared)

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
        return [*(self.as_found(self.message(entry)) for entry in reversed(entries)), *self.letters()]

    def as_found(self, message: dict[str, Any]) -> Found:
        """*message* as one of those read back."""
        return Found(message["id"], message["key"])

    def letters(self) -> list[Found]:
        """The dead letters of what nobody here can read: only they have a reason that is right."""
        letters = read_topic(self.servers.pulsar, f"{self.servers.topic}-{SUBSCRIPTION}-DLQ")
        properties = [letter.properties() for letter in letters]
        return [Found(int(each["number"]), "letters") for each in properties if each["HEADRACE_REASON"] == "Encrypted"]

    def message(self, entry: str) -> dict[str, Any]:
        """What the producer sent, out of an entry."""
        message: dict[str, Any] = json.loads(entry)
        return message


class LatestPulsarToList(PulsarToList):
    """By a subscription that, were it missing, would begin at the end: it was made at the beginning."""

    source: Mapping[str, Any] = {"initialPosition": "Latest"}

    def prepare(self) -> None:
        """With the subscription."""
        super().prepare()
        create_subscription(self.servers.pulsar, self.servers.topic, SUBSCRIPTION)


class SharedPulsarToList(PulsarToList):
    """By a subscription of type Shared: every message is acknowledged by itself, and none has an order to keep."""

    points: Mapping[str, Point] = {
        "before the push": Point("headrace.bridge.delivery:DeliveryStore.push@before", 6),
        "after the push": Point("headrace.bridge.delivery:DeliveryStore.push", 6),
        "before an acknowledgement": Point("_pulsar:Consumer.acknowledge@before", 200),
        "after an acknowledgement": Point("_pulsar:Consumer.acknowledge", 200),
    }
    source: Mapping[str, Any] = {"subscriptionType": "Shared"}
    subscription_type = pulsar.ConsumerType.Shared

    def as_found(self, message: dict[str, Any]) -> Found:
        """Every message is a group of its own."""
        return Found(message["id"], str(message["id"]))


class KeySharedPulsarToList(SharedPulsarToList):
    """The same, but that a key's messages go to one consumer at a time."""

    source: Mapping[str, Any] = {"subscriptionType": "KeyShared"}
    subscription_type = pulsar.ConsumerType.KeyShared


class PatternToList(PulsarToList):
    """By a pattern, of which the topic and its second generation could be."""

    def document(self, network: Network) -> dict[str, Any]:
        """Dead letters of all topics go to one."""
        document = super().document(network)
        source = document["spec"]["source"]["pulsar"]
        source["topicsPattern"] = f"{source.pop('topic')}(-second)?"
        document["spec"]["deadLetter"] = {"topic": f"{self.servers.topic}-{SUBSCRIPTION}-DLQ"}
        return document


class PulsarToCelery(PulsarToList):
    """As Celery tasks, in a queue with the list's name, and in small batches."""

    source: Mapping[str, Any] = {"batching": {"maxMessages": 20}}
    sink: Mapping[str, Any] = {"celery": {"task": "shop.price", "queue": LIST}}

    def message(self, entry: str) -> dict[str, Any]:
        """The only argument of a task in Celery's message protocol 2."""
        task = json.loads(entry)
        [argument], keywords, _ = json.loads(task["body"])
        assert keywords == {}
        assert task["headers"]["task"] == "shop.price"
        message: dict[str, Any] = argument
        return message


class PulsarToStream(PulsarToList):
    """As entries of a stream with the list's name; what was seen is remembered by the message's own number."""

    more: Mapping[str, Any] = {
        "deduplicate": {"key": "id"},
        "cache": {"key": "key", "prefix": "cached:", "ttlSeconds": 3600},
    }
    sink: Mapping[str, Any] = {"stream": {"key": LIST}}

    def behind(self, accepted: int) -> int:
        """What the stream lacks."""
        with self.servers.valkey.client() as client:
            return accepted - int(client.xlen(LIST)) - len(self.ledger.shared)

    def found(self) -> list[Found]:
        """The stream from its beginning."""
        with self.servers.valkey.client() as client:
            entries: list[tuple[str, dict[str, str]]] = client.xrange(LIST)
        return [*(self.as_found(self.message(fields["payload"])) for _, fields in entries), *self.letters()]
