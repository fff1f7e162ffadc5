"""Bridges that give messages to each other in a circle: such messages never end, and nothing in them shows it. Pure.

Bodies are looked at as they are, for there may be many and most are of no concern. Patterns of topics are left out, and
so are dead letters, whose loops end at run time, and bridges with `deduplicate`, which drop what comes back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.api.status import ConditionType, Reason, Status
from headrace.api.topic import base_topic
from headrace.reconcile.conditions import Finding
from headrace.reconcile.raw_body import full_name, part, server

Place = tuple[str, str, str]
"""A server, what is meant there, and its name."""


def circle_of(body: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The bridges, as `namespace/name`, by which what the bridge *body* moves comes back to it; empty when it does not.

    *others*: all bridges that are known, this one included or not.
    """
    readers: dict[Place, dict[str, Mapping[str, Any]]] = {}
    for each in (body, *others):
        if _passes_all(each):
            for place in _sides(each, "source"):
                readers.setdefault(place, {})[full_name(each)] = each
    if not _passes_all(body):
        return ()
    start = full_name(body)
    ways: list[tuple[str, ...]] = [(start,)]
    known = {start: body}
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for place in _sides(known[way[-1]], "sink"):
            for name, reader in sorted(readers.get(place, {}).items()):
                if name == start:
                    return (*way, start)
                if name not in seen:
                    seen.add(name)
                    known[name] = reader
                    ways.append((*way, name))
    return ()


def circle_findings(circle: tuple[str, ...]) -> list[Finding]:
    """MessagesEnd, where they do not. A warning: it never holds Ready back."""
    if not circle:
        return []
    text = f"Messages go in a circle and never end: {' -> '.join(circle)}. Let one of these bridges write elsewhere"
    return [Finding(ConditionType.MESSAGES_END, Status.FALSE, Reason.MESSAGES_CIRCLE, text)]


def _passes_all(body: Mapping[str, Any]) -> bool:
    spec = part(body, "spec")
    return spec.get("suspend") is not True and not part(spec, "deduplicate")


def _sides(body: Mapping[str, Any], side: str) -> Iterator[Place]:
    """The places that a bridge reads (*side* is source), or writes (sink)."""
    spec = part(body, "spec")
    found = part(spec, side)
    topics, where = part(found, "pulsar"), server(body, part(spec, "pulsar").get("serviceUrl"))
    several = topics.get("topics")
    for topic in (topics.get("topic"), *(several if isinstance(several, list) else ())):
        if isinstance(topic, str):
            yield where, "topic", base_topic(topic)
    valkey, where = part(found, "valkey"), server(body, part(spec, "valkey").get("url"))
    for kind, field in (("list", "key"), ("stream", "key"), ("celery", "queue")):
        if isinstance(key := part(valkey, kind).get(field), str):
            yield where, "key", key
    pub_sub = part(valkey, "pubSub")
    channels = pub_sub.get("channels")
    for channel in (pub_sub.get("channel"), *(channels if isinstance(channels, list) else ())):
        if isinstance(channel, str):
            yield where, "channel", channel
    if isinstance(channel := part(topics, "announce").get("channel"), str):
        yield where, "channel", channel
