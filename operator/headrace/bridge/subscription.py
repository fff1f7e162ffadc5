"""The subscription that a bridge reads: its consumer, of all topics there are, and when to open it anew."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import cast

from headrace.api.bridge_source import PulsarSource, SubscriptionType
from headrace.bridge.beginning import Beginnings
from headrace.bridge.company import Company, TakenError
from headrace.bridge.pulsar_library import (
    Client,
    Consumer,
    CoreConsumer,
    Message,
    MessageId,
    PulsarTimeoutError,
    core,
    library,
)
from headrace.bridge.receiver_queue import ReceiverQueue
from headrace.bridge.source_topics import SourceTopics

BATCH_WAIT_MILLISECONDS = 2
INCOMPLETE_MESSAGES = 16
"""How many messages in chunks the client puts together at once, at first. It drops the oldest of more."""
MOST_INCOMPLETE_MESSAGES = 1024
MOST_RECEIVED = 2**31 - 1
"""The client shares this among partitions; the bridge does so itself, by bytes."""

_TYPES = {
    SubscriptionType.FAILOVER: core.ConsumerType.Failover,
    SubscriptionType.SHARED: core.ConsumerType.Shared,
    SubscriptionType.KEY_SHARED: core.ConsumerType.KeyShared,
}

_log = logging.getLogger(__name__)


class Subscription:
    """Opens consumers of one subscription, one after the other. Not shared between threads."""

    def __init__(
        self,
        source: PulsarSource,
        topics: SourceTopics,
        client: Client,
        beginnings: Beginnings,
        company: Company,
        *,
        once: bool,
    ) -> None:
        """*once*: what comes again is dropped, so that a consumer may be opened anew for the sake of speed."""
        self._source = source
        self._topics = topics
        self._client = client
        self._beginnings = beginnings
        self._company = company
        self._opened: dict[str, int] = {}
        self._incomplete_messages = INCOMPLETE_MESSAGES
        self.consumer_name = os.environ.get("HOSTNAME", "headrace")
        """The consumer's name."""
        self.name = source.subscription
        """The subscription's name."""
        self.queue = ReceiverQueue(source.receiver_queue_size or 2 * source.batching.max_messages, grows=once)
        """How many messages its consumers ask for in advance."""
        self.batching = source.batching
        """How much a batch of it holds."""

    @property
    def label(self) -> str:
        """What its topics are called together, in logs."""
        return self._topics.label

    @property
    def opened(self) -> Collection[str]:
        """The topics of the consumer that was opened last."""
        return self._opened.keys()

    def look(self) -> None:
        """See that Pulsar answers; raises PulsarError and NoTopicsError."""
        self._topics.look()

    def open(self, before: Callable[[tuple[str, ...]], None]) -> Consumer:
        """A consumer of the topics that are there now, which *before* is told first.

        Raises PulsarError, NoTopicsError, VALKEY_TROUBLE, and :class:`~headrace.bridge.company.TakenError`.
        """
        self._opened = self._topics.look()
        self._company.before(self._opened)
        self._beginnings.settle(self._opened, self._make_at_the_end)
        before(tuple(self._opened))
        if self._source.topics_pattern:
            _log.info("%s: %d topics", self.label, len(self._opened))
        if not self._opened:
            return cast(Consumer, _Idle())
        consumer = self._subscribe(list(self._opened), latest=False)
        try:
            self._company.after(self._opened)
        except TakenError:
            consumer.close()
            raise
        return consumer

    def changed(self) -> bool:
        """Whether there are other topics by now than those that were opened, or the same ones laid out otherwise.

        Raises :class:`~headrace.bridge.company.TakenError`.
        """
        self._company.check()
        return self._topics.present != self._opened

    def put_more_together(self) -> None:
        """From the next opening on the client puts four times as many messages in chunks together at once."""
        self._incomplete_messages = min(4 * self._incomplete_messages, MOST_INCOMPLETE_MESSAGES)

    def _make_at_the_end(self, topics: Sequence[str]) -> None:
        self._subscribe(topics, latest=True).close()

    def _subscribe(self, topics: Sequence[str], *, latest: bool) -> Consumer:
        queue = 1 if latest else self.queue.open(len(topics))
        return self._client.subscribe(
            topics[0] if len(topics) == 1 else list(topics),
            self.name,
            consumer_type=_TYPES[self._source.subscription_type],
            consumer_name=self.consumer_name,
            properties=self._company.properties,
            initial_position=core.InitialPosition.Latest if latest else core.InitialPosition.Earliest,
            max_pending_chunked_message=self._incomplete_messages,
            receiver_queue_size=queue,
            max_total_receiver_queue_size_across_partitions=MOST_RECEIVED,
            batch_receive_policy=library.ConsumerBatchReceivePolicy(
                max(min(self.batching.max_messages - 1, queue), 1), self.batching.max_bytes, BATCH_WAIT_MILLISECONDS
            ),
        )


class _Idle:
    """The consumer of a pattern that matches nothing yet."""

    def __init__(self) -> None:
        self._consumer = cast(CoreConsumer, self)

    def receive(self, timeout_millis: int) -> Message:
        time.sleep(timeout_millis / 1000)
        raise PulsarTimeoutError("there is no topic")

    def batch_receive(self) -> Sequence[Message]:
        return ()

    def acknowledge(self, message_id: MessageId) -> None:
        raise AssertionError(f"nothing was received, but {message_id} is acknowledged")

    def acknowledge_cumulative(self, message_id: MessageId) -> None:
        raise AssertionError(f"nothing was received, but {message_id} is acknowledged")

    def is_connected(self) -> bool:
        return True

    def close(self) -> None:
        return None
