"""Resources that take from one source: each would get a part of its messages. Pure.

The bridges themselves refuse it where they meet; this tells it on both before, and tells of workers too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.api.status import ConditionType, Reason, Status
from headrace.api.topic import base_topic
from headrace.reconcile.conditions import Finding
from headrace.reconcile.raw_body import full_name, part, server

_MOST_SHARDS = 64


@dataclass(frozen=True)
class Source:
    """One place that somebody takes from."""

    server: str
    kind: str
    """subscription, list or group."""
    name: str
    """Of the topic, or the key."""
    reader: str = ""
    """Name of the subscription or the group."""
    pattern: bool = False
    """Whether *name* is a pattern of topics."""

    def meets(self, other: "Source") -> bool:
        """Whether a message may be taken by either."""
        if (self.server, self.kind, self.reader) != (other.server, other.kind, other.reader):
            return False
        return self.name == other.name or _fits(self, other) or _fits(other, self)

    def __str__(self) -> str:
        if self.kind == "list":
            return f"the list {self.name}"
        of = "the topics" if self.pattern else "the topic" if self.kind == "subscription" else "the stream"
        return f"the {self.kind} {self.reader} of {of} {self.name}"


def sharers_of(body: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Who takes from what the bridge *body* takes from: ``Kind namespace/name``, and the source. *others*: all bridges
    and workers that are known, this one included or not."""
    mine = list(_sources(body))
    if not mine:
        return ()
    me = body.get("kind"), full_name(body)
    found: dict[str, str] = {}
    for each in others:
        if (each.get("kind"), full_name(each)) == me:
            continue
        met = next((ours for theirs in _sources(each) for ours in mine if ours.meets(theirs)), None)
        if met is not None:
            found[f"{each.get('kind')} {full_name(each)}"] = str(met)
    return tuple(sorted(found.items()))


def sharing_findings(sharers: tuple[tuple[str, str], ...]) -> list[Finding]:
    """SourceExclusive, where it is not. A warning: it never holds Ready back."""
    if not sharers:
        return []
    names = ", ".join(name for name, _ in sharers)
    text = (
        f"{names} takes from {sharers[0][1]} too: no message goes to both, and of two bridges one takes nothing."
        " Give one of them another source, or a subscription or group of its own"
    )
    return [Finding(ConditionType.SOURCE_EXCLUSIVE, Status.FALSE, Reason.SOURCE_SHARED, text)]


def _sources(body: Mapping[str, Any]) -> Iterator[Source]:
    spec = part(body, "spec")
    if spec.get("suspend") is True:
        return
    if body.get("kind") == "PulsarBridge":
        source = part(spec, "source")
        yield from _of_pulsar(part(source, "pulsar"), server(body, part(spec, "pulsar").get("serviceUrl")))
        yield from _of_valkey(part(source, "valkey"), server(body, part(spec, "valkey").get("url")))
    elif body.get("kind") == "ValkeyWorker":
        yield from _of_worker(spec, server(body, part(spec, "valkey").get("url")))


def _of_pulsar(source: Mapping[str, Any], where: str) -> Iterator[Source]:
    reader = source.get("subscription")
    if not isinstance(reader, str):
        return
    several = source.get("topics")
    for topic in (source.get("topic"), *(several if isinstance(several, list) else ())):
        if isinstance(topic, str):
            yield Source(where, "subscription", base_topic(topic), reader)
    if isinstance(pattern := source.get("topicsPattern"), str):
        yield Source(where, "subscription", pattern, reader, pattern=True)


def _of_valkey(source: Mapping[str, Any], where: str) -> Iterator[Source]:
    shards = source.get("shards")
    count = min(shards, _MOST_SHARDS) if isinstance(shards, int) and not isinstance(shards, bool) else 0
    stream = part(source, "stream")
    for key in (part(source, "list").get("key"), stream.get("key")):
        if isinstance(key, str):
            for name in (key, *(f"{key}:{number}" for number in range(count))):
                yield Source(where, "group", name, _group(stream)) if stream else Source(where, "list", name)


def _of_worker(spec: Mapping[str, Any], where: str) -> Iterator[Source]:
    celery, stream = part(spec, "celery"), part(spec, "stream")
    if celery and part(celery, "broker").get("type", "Valkey") == "Valkey":
        queues = celery.get("queues", [{"name": "celery"}])
        for queue in queues if isinstance(queues, list) else ():
            if isinstance(queue, Mapping) and isinstance(name := queue.get("name"), str):
                yield Source(where, "list", name)
    if isinstance(key := part(part(spec, "polling"), "list").get("key"), str):
        yield Source(where, "list", key)
    if isinstance(key := stream.get("key"), str):
        yield Source(where, "group", key, _group(stream))


def _group(stream: Mapping[str, Any]) -> str:
    return str(stream.get("group", "headrace"))


def _fits(pattern: Source, topic: Source) -> bool:
    """Whether a pattern of topics means the other's topic. RE2 and Python agree where it matters here."""
    if not pattern.pattern or topic.pattern:
        return False
    try:
        return re.fullmatch(pattern.name, topic.name) is not None
    except re.error:
        return False
