"""Bridges that give messages to each other in a circle: such messages never end, and nothing in them shows it. Pure.

Bodies are looked at as they are, for there may be many and most are of no concern. Patterns of topics are left out, and
so are dead letters, whose loops end at run time, and bridges with `deduplicate`, which drop what comes back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from headrace.api.status import ConditionType, Reason, Status
from headrace.api.topic import base_topic
from headrace.reconcile.conditions import Finding

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
                readers.setdefault(place, {})[_name(each)] = each
    if not _passes_all(body):
        return ()
    start = _name(body)
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
    spec = _part(body, "spec")
    return spec.get("suspend") is not True and not _part(spec, "deduplicate")


def _sides(body: Mapping[str, Any], side: str) -> Iterator[Place]:
    """The places that a bridge reads (*side* is source), or writes (sink)."""
    spec = _part(body, "spec")
    found = _part(spec, side)
    topics, server = _part(found, "pulsar"), _server(body, _part(spec, "pulsar").get("serviceUrl"))
    several = topics.get("topics")
    for topic in (topics.get("topic"), *(several if isinstance(several, list) else ())):
        if isinstance(topic, str):
            yield server, "topic", base_topic(topic)
    valkey, server = _part(found, "valkey"), _server(body, _part(spec, "valkey").get("url"))
    for kind, field in (("list", "key"), ("stream", "key"), ("celery", "queue")):
        if isinstance(key := _part(valkey, kind).get(field), str):
            yield server, "key", key
    pub_sub = _part(valkey, "pubSub")
    channels = pub_sub.get("channels")
    for channel in (pub_sub.get("channel"), *(channels if isinstance(channels, list) else ())):
        if isinstance(channel, str):
            yield server, "channel", channel
    if isinstance(channel := _part(topics, "announce").get("channel"), str):
        yield server, "channel", channel


def _server(body: Mapping[str, Any], url: Any) -> str:
    """Which server a URL means; a host without a dot is one of the bridge's own namespace."""
    text = url if isinstance(url, str) else ""
    try:
        host = urlsplit(text.partition(",")[0]).hostname or ""
    except ValueError:
        host = ""
    return text if "." in host else f"{_part(body, 'metadata').get('namespace')}/{text}"


def _name(body: Mapping[str, Any]) -> str:
    metadata = _part(body, "metadata")
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    return part if isinstance(part, Mapping) else {}
