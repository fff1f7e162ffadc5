"""Rules against what one resource shows of a loop: it would read what it writes.

Topics are compared whole, those of partitions by the topic that they are of.
"""

from __future__ import annotations

from typing import Any

from headrace.api.model import Rule
from headrace.api.topic import base_topic


def _base(topic: str) -> str:
    """CEL: the topic without ``-partition-N``."""
    return (
        f"({topic}.matches('-partition-[0-9]+$') ? {topic}.substring(0, {topic}.lastIndexOf('-partition-')) : {topic})"
    )


_SOURCES = (
    "(has(self.source.pulsar.topic) ? [self.source.pulsar.topic]"
    " : has(self.source.pulsar.topics) ? self.source.pulsar.topics : [])"
)


def _named(field: str, suffix: str) -> str:
    """CEL: a list of the effective topic of letters, none when a rule of its own asks for it."""
    default = (
        f"{_SOURCES}.filter(s, s == {_SOURCES}[0]).map(s, s + '-' + self.source.pulsar.subscription + '-{suffix}')"
    )
    return f"(has(self.{field}) && has(self.{field}.topic) ? [self.{field}.topic] : {default})"


_DEAD_LETTERS, _RETRIES = _named("deadLetter", "DLQ"), _named("retry", "RETRY")
_FROM_PULSAR = "has(self.source.pulsar)"


def _apart(topics: str, others: str) -> str:
    """CEL: none of *topics* is one of *others*."""
    return f"{topics}.map(t, {_base('t')}).all(t, {others}.all(o, {_base('o')} != t))"


_EFFECTIVE_DEAD_LETTERS = (
    f"{_FROM_PULSAR} ? {_DEAD_LETTERS} : has(self.deadLetter) && has(self.deadLetter.topic) ? [self.deadLetter.topic]"
    " : has(self.sink.pulsar) ? [self.sink.pulsar.topic + '-DLQ'] : []"
)


def _returns(spec: Any) -> bool:
    """Whether a replay brings letters to the topic that it takes them from."""
    target = spec.replay.target if spec.replay is not None else None
    return target is not None and base_topic(target) == _dead(spec)


def _bases(spec: Any) -> set[str]:
    """The topics that a bridge reads by name."""
    return {base_topic(name) for name in spec.source.pulsar.names} if spec.source.pulsar else set()


def _dead(spec: Any) -> str | None:
    """The effective dead-letter topic; None where another rule asks for it."""
    known = spec.dead_letter is not None or spec.sink.pulsar is not None or _bases(spec)
    return base_topic(spec.dead_letter_topic) if known else None


def _retried(spec: Any) -> str | None:
    """The effective topic of retry letters; None when there is none, or another rule asks for it."""
    known = spec.retry is not None and (spec.retry.topic is not None or _bases(spec))
    return base_topic(spec.retry_topic) if known and spec.retry_topic is not None else None


BRIDGE = (
    Rule(
        cel=f"!{_FROM_PULSAR} || {_apart(_DEAD_LETTERS, _SOURCES)}",
        message="deadLetter.topic must be another topic than those of source.pulsar: the bridge would read its own dead"
        " letters for ever (when left out it is <first topic>-<subscription>-DLQ)",
        holds=lambda self: _dead(self) not in _bases(self),
    ),
    Rule(
        cel=f"!{_FROM_PULSAR} || !has(self.retry) || {_apart(_RETRIES, _SOURCES)}",
        message="retry.topic must be another topic than those of source.pulsar: two loops of the bridge would read it"
        " (when left out it is <first topic>-<subscription>-RETRY)",
        holds=lambda self: _retried(self) not in _bases(self),
    ),
    Rule(
        cel=f"!{_FROM_PULSAR} || !has(self.retry) || {_apart(_RETRIES, _DEAD_LETTERS)}",
        message="retry.topic and deadLetter.topic must be two topics",
        holds=lambda self: _retried(self) is None or _retried(self) != _dead(self),
    ),
    Rule(
        cel="!has(self.sink.pulsar) || !has(self.deadLetter)"
        f" || {_apart('[self.deadLetter.topic]', '[self.sink.pulsar.topic]')}",
        message="deadLetter.topic must be another topic than sink.pulsar.topic: nobody could tell letters and messages"
        " apart, and a replay would bring letters back to where they lie",
        holds=lambda self: self.sink.pulsar is None or _dead(self) != base_topic(self.sink.pulsar.topic),
    ),
    Rule(
        cel="!has(self.replay) || !has(self.replay.target)"
        f" || {_apart('[self.replay.target]', f'({_EFFECTIVE_DEAD_LETTERS})')}",
        message="replay.target must be another topic than the dead letters themselves: a replayed letter would come to"
        " lie where it was",
        holds=lambda self: not _returns(self),
    ),
)
"""Of a PulsarBridge."""


def _of_pipeline(spec: Any) -> bool:
    return base_topic(spec.dead_letter_topic) not in {base_topic(spec.ingest.topic), base_topic(spec.results.topic)}


_PIPELINE_LETTERS = (
    "(has(self.failures) && has(self.failures.deadLetter) ? [self.failures.deadLetter.topic]"
    " : [self.ingest.topic + '-' + self.ingest.subscription + '-DLQ'])"
)

PIPELINE = (
    Rule(
        cel=_apart("[self.results.topic]", "[self.ingest.topic]"),
        message="results.topic must be another topic than ingest.topic: each result would be worked on again, for ever",
        holds=lambda self: base_topic(self.results.topic) != base_topic(self.ingest.topic),
    ),
    Rule(
        cel=_apart(_PIPELINE_LETTERS, "[self.ingest.topic, self.results.topic]"),
        message="failures.deadLetter.topic must be another topic than ingest.topic and results.topic"
        " (when left out it is <ingest topic>-<subscription>-DLQ)",
        holds=_of_pipeline,
    ),
)
"""Of a HybridPipeline."""


def _sources(spec: Any) -> set[str]:
    """The keys that a worker takes its work from."""
    if spec.celery is not None:
        return {queue.name for queue in spec.celery.queues} if spec.celery.broker.type == "Valkey" else set()
    polled = spec.polling or spec.stream
    return {polled.key} if polled is not None else set()


def _written(spec: Any) -> set[str]:
    return {part.key for part in (spec.outbox, spec.dead_letter) if part is not None}


_KEYS = (
    "((has(self.outbox) ? [self.outbox.key] : []) + (has(self.deadLetter) ? [self.deadLetter.key] : []))"
    ".all(k, !({taken}))"
)
_ON_VALKEY = "(!has(self.celery.broker) || !has(self.celery.broker.type) || self.celery.broker.type == 'Valkey')"
_TAKEN = (
    f"(has(self.celery) && {_ON_VALKEY}"
    " && (has(self.celery.queues) ? self.celery.queues.exists(q, q.name == k) : k == 'celery'))"
    " || (has(self.stream) && self.stream.key == k)"
    " || (has(self.polling) && ((has(self.polling.list) && self.polling.list.key == k)"
    " || (has(self.polling.zset) && self.polling.zset.key == k)"
    " || (has(self.polling.hash) && self.polling.hash.key == k)))"
)

WORKER = (
    Rule(
        cel=_KEYS.format(taken=_TAKEN),
        message="outbox.key and deadLetter.key must be other keys than the queues, the stream or the key that the"
        " worker takes its work from: it would take its own records for work, for ever",
        holds=lambda self: not _written(self) & _sources(self),
    ),
)
"""Of a ValkeyWorker."""
