"""Retrying messages that Valkey refuses, by way of a topic of their own."""

from __future__ import annotations

from headrace.api.policy import Retry
from headrace.api.topic import TopicName


class RetryLetters(Retry):
    """How often a message is tried that Valkey refuses for itself alone, before it becomes a dead letter."""

    topic: TopicName | None = None
    """Where it waits for the next attempt. `<source topic>-<subscription>-RETRY` when left out; of several source
    topics the first counts. Needed with topicsPattern."""
