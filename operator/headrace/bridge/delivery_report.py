"""What became of messages from Pulsar, told: counted, and logged where a person should know."""

from __future__ import annotations

import logging

from prometheus_client import Counter

from headrace.bridge.batch import Batch, Item, topic_of
from headrace.bridge.delivery import OLDER, REDELIVERED, SEEN_KEY, Delivered
from headrace.bridge.metrics import BridgeMetrics
from headrace.process.logs import Seldom

_DROPPED = {
    REDELIVERED: "messages came again that had been pushed before; they are dropped."
    " To have messages again on purpose, use spec.replay",
    OLDER: "messages came that are older than the subscription's beginning; they are passed over",
}

_log = logging.getLogger(__name__)


class DeliveryReport:
    """Of one subscription."""

    def __init__(self, metrics: BridgeMetrics, subscription: str, label: str) -> None:
        """*label*: what its topics are called together, in logs."""
        self._metrics = metrics
        self._subscription = subscription
        self._label = label
        self._seldom = Seldom()

    def failures(self, topic: str, reason: str) -> Counter:
        """What the consumer could not hand on."""
        return self._metrics.consumer_failures.labels(topic=topic, subscription=self._subscription, reason=reason)

    def offered(self, batch: Batch) -> None:
        """*batch* is about to be pushed."""
        for partition, reason in batch.reasons():
            self.failures(topic_of(partition), reason).inc()

    def pushed(self, batch: Batch) -> None:
        """All of *batch* was pushed."""
        for _, reason in batch.reasons():
            self._metrics.dead_letters.labels(reason=reason).inc()
        for partition in batch.passed():
            self._passed(topic_of(partition))

    def delivered(self, delivered: Delivered) -> None:
        """Valkey took some of a batch."""
        for partition, count in delivered.pushed.items():
            self._metrics.forwarded.labels(topic=topic_of(partition), status="success").inc(count)
        for reason, number in delivered.dropped.items():
            metric = self._metrics.passed_over if reason == OLDER else self._metrics.dropped
            metric.labels(reason=reason).inc(number)
            if reason != SEEN_KEY and number and self._seldom(reason):
                _log.info("%s: %s", self._label, _DROPPED[reason])
        for partition, letter in delivered.refused:
            self._refused(topic_of(partition), letter)
        self._metrics.unheard.inc(delivered.unheard)

    def _refused(self, topic: str, letter: Item) -> None:
        if letter.passed:
            self._passed(topic)
            return
        reason = letter.reason or ""
        self.failures(topic, reason).inc()
        (self._metrics.retries if letter.retried else self._metrics.dead_letters).labels(reason=reason).inc()

    def _passed(self, topic: str) -> None:
        self._metrics.passed.labels(topic=topic).inc()
        if self._seldom(f"passed {topic}"):
            _log.warning(
                "%s: letters of other bridges are passed over and stay in %s: else they became letters again and again",
                self._label,
                topic,
            )
