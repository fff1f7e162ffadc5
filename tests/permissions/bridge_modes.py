"""The bridges: each sink and source with all options, through takeover, restart, retries, dead letters and replays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from tests.integration.dataplane import (
    Headrace,
    backlog,
    create_subscription,
    keep,
    payloads,
    publish,
    read_topic,
    wait_for,
)
from tests.permissions.bed import Scene
from tests.permissions.mode import Mode, Play, Trickle

SUBSCRIPTION = "shop"
DEAD_LETTERS, RETRIES = "-shop-DLQ", "-shop-RETRY"
SECONDS = 60.0
BOTH = ("produce", "consume")

Arrived = Callable[[Scene], list[int]]


def _messages(first: int, last: int) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(first, last)]


def _ids(payloads: list[Any]) -> list[int]:
    return sorted(json.loads(payload)["id"] for payload in payloads)


def _await(scene: Scene, arrived: Arrived, last: int, *more: int) -> None:
    wanted = [*range(last), *more]
    wait_for(lambda: arrived(scene) == sorted(wanted), f"{wanted} arrived", SECONDS)


def _phase(scene: Scene, run: str) -> str:
    return str(scene.admin.hget(f"{scene.prefix}:replay:{run}", "phase"))


# Pulsar to Valkey

SINKS: dict[str, dict[str, Any]] = {
    "list": {"list": {"key": "target", "maxDepth": 1000}},
    "stream": {"stream": {"key": "target", "maxLength": 1000}},
    "hash": {"hash": {"key": "target", "field": "id"}},
    "channel": {"pubSub": {"channel": "target"}},
    "celery": {"celery": {"task": "shop.price", "queue": "target", "maxDepth": 1000}},
}


def _in_list(scene: Scene) -> list[int]:
    return _ids(scene.admin.lrange("target", 0, -1))


def _in_stream(scene: Scene) -> list[int]:
    return _ids([fields["payload"] for _, fields in scene.admin.xrange("target")])


def _in_hash(scene: Scene) -> list[int]:
    return _ids(scene.admin.hvals("target"))


def _in_queue(scene: Scene) -> list[int]:
    entries = [json.loads(entry) for entry in scene.admin.lrange("target", 0, -1)]
    return sorted(json.loads(entry["body"])[0][0]["id"] for entry in entries)


def _inward(scene: Scene, sink: str, kind: str = "Failover", **changes: Any) -> Headrace:
    source = {"topic": scene.topic(), "subscription": SUBSCRIPTION, "subscriptionType": kind}
    spec = {
        "source": {"pulsar": source},
        "sink": {"valkey": SINKS[sink]},
        "deduplicate": {"key": "id", "windowSeconds": 3600},
        "cache": {"key": "id", "prefix": "order:", "ttlSeconds": 3600},
        "retry": {"maxAttempts": 2, "backoff": {"baseSeconds": 1, "jitter": False}},
        "rateLimit": {"perSecond": 1000},
        "circuitBreaker": {},
        **changes,
    }
    return scene.start("bridge", "PulsarBridge", spec)


def _letters(scene: Scene, topic: str, count: int) -> None:
    wait_for(lambda: len(read_topic(scene.broker, topic)) == count, f"{count} dead letters", SECONDS)


def inward(sink: str, arrived: Arrived) -> Play:
    """The play of a bridge to *sink*."""

    def play(scene: Scene) -> None:
        topic, dead = scene.topic(), scene.topic(DEAD_LETTERS)
        _inward_subscriptions(scene)
        first = _inward(scene, sink).wait_until_ready()
        publish(scene.broker, topic, _messages(0, 10))
        _await(scene, arrived, 10)
        second = _inward(scene, sink).wait_until_ready()
        first.kill()
        publish(scene.broker, topic, [*_messages(10, 20), *_messages(0, 5)])
        _await(scene, arrived, 20)
        scene.admin.hset("order:100", "taken", "by another")
        publish(scene.broker, topic, [b"no JSON", *_messages(100, 101)])
        _letters(scene, dead, 2)
        wait_for(lambda: backlog(scene.broker, topic, SUBSCRIPTION) == 0, "all is acknowledged", SECONDS)
        second.stop()
        scene.admin.delete("order:100")
        replay = {"id": "letters", "from": "DeadLetter", "match": "reason == 'WrongType'"}
        third = _inward(scene, sink, "Shared", replay=replay).wait_until_ready()
        publish(scene.broker, topic, _messages(20, 30))
        _await(scene, arrived, 30, 100)
        wait_for(lambda: _phase(scene, "letters") == "Completed", "the replay ended", SECONDS)
        wait_for(lambda: backlog(scene.broker, topic, SUBSCRIPTION) == 0, "all is acknowledged", SECONDS)
        third.stop()
        again = _inward(scene, sink, "KeyShared", replay={"id": "again", "from": "Earliest"}).wait_until_ready()
        wait_for(lambda: _phase(scene, "again") == "Completed", "the second replay ended", SECONDS)
        again.stop()

    return play


def _inward_subscriptions(scene: Scene) -> None:
    create_subscription(scene.broker, scene.topic(), SUBSCRIPTION)
    create_subscription(scene.broker, scene.topic(DEAD_LETTERS), DEAD_LETTER_SUBSCRIPTION)


def _publish_one(scene: Scene, number: int) -> None:
    publish(scene.broker, scene.topic(), [b"no JSON %d" % number, *_messages(number, number + 1)])


def _one_is_in_list(scene: Scene, number: int) -> bool:
    """With its neighbour's letter, and acknowledged, for which durability is asked."""
    if number not in _in_list(scene) or backlog(scene.broker, scene.topic(), SUBSCRIPTION):
        return False
    return f"no JSON {number}" in payloads(scene.broker, scene.topic(DEAD_LETTERS))


TO_LIST = Trickle(_inward_subscriptions, lambda scene: _inward(scene, "list"), _publish_one, _one_is_in_list)


def _to_channel(scene: Scene) -> None:
    heard: list[str] = []

    def arrived(_: Scene) -> list[int]:
        while (said := ear.get_message(timeout=0.01)) is not None:
            if said["type"] == "message":
                heard.append(said["data"])
        return sorted(set(_ids(heard)))

    with scene.admin.pubsub() as ear:
        ear.subscribe("target")
        inward("channel", arrived)(scene)


def _sink_mode(sink: str, title: str, play: Play) -> Mode:
    to_channel = sink == "channel"
    return Mode(
        name=f"pulsar-to-{sink}",
        title=title,
        play=play,
        trickle=TO_LIST if sink == "list" else None,
        keys={"order:*": "CACHE-PREFIX*"} | ({} if to_channel else {"target": "TARGET"}),
        channels={"target": "TARGET"} if to_channel else {},
        grants={"": BOTH, DEAD_LETTERS: BOTH, RETRIES: BOTH},
        topics={
            "": "TOPIC",
            DEAD_LETTERS: "TOPIC-SUBSCRIPTION-DLQ",
            RETRIES: "TOPIC-SUBSCRIPTION-RETRY",
        },
        seldom=("hsetnx", "hset", "hdel", "exists", "set", "srem"),
        scripts=("bridge/reroute.lua", "bridge/raise.lua", "bridge/forget.lua", "bridge/breaker.lua"),
    )


# Valkey to Pulsar

OUT_DEAD = "-DLQ"


def _outward(scene: Scene, source: dict[str, Any], **changes: Any) -> Headrace:
    spec = {
        "source": {"valkey": source},
        "sink": {"pulsar": {"topic": scene.topic(), "key": "id", **changes.pop("sink", {})}},
        "delivery": {"durability": "Fsync"},
        "rateLimit": {"perSecond": 1000},
        "circuitBreaker": {},
        **changes,
    }
    return scene.start("bridge", "PulsarBridge", spec)


def _published(scene: Scene) -> list[int]:
    return _ids(payloads(scene.broker, scene.topic()))


def outward(source: dict[str, Any], put: Callable[[Scene, list[bytes]], None], **changes: Any) -> Play:
    """The play of a bridge from *source*; *put* writes there."""
    [kind] = source
    shards = {} if kind == "pubSub" or source[kind].get("format") else {"shards": 2}

    def play(scene: Scene) -> None:
        dead = scene.topic(OUT_DEAD)
        _outward_subscription(scene)
        first = _outward(scene, source, **changes).wait_until_ready()
        put(scene, _messages(0, 10))
        _await(scene, _published, 10)
        second = _outward(scene, source, **changes).wait_until_ready()
        first.kill()
        put(scene, _messages(10, 20))
        _await(scene, _published, 20)
        put(scene, [b'{"id": null, "text": "has no key"}'])
        _letters(scene, dead, 1)
        second.stop()
        replay = {"id": "letters", "from": "DeadLetter", "target": scene.topic("-elsewhere")}
        third = _outward(scene, {kind: {**source[kind], **shards}}, replay=replay, **changes).wait_until_ready()
        put(scene, _messages(20, 30))
        _await(scene, _published, 30)
        wait_for(lambda: _phase(scene, "letters") == "Completed", "the replay ended", SECONDS)
        third.stop()

    return play


def _push(scene: Scene, messages: list[bytes]) -> None:
    scene.admin.lpush("source", *messages)


def _add(scene: Scene, messages: list[bytes]) -> None:
    for each in messages:
        scene.admin.xadd("source", {"payload": each, "more": "1"})


def _say(scene: Scene, messages: list[bytes]) -> None:
    for each in messages:
        scene.admin.publish("source", each)


def _add_one(scene: Scene, number: int) -> None:
    _add(scene, [b'{"id": null, "number": %d}' % number, *_messages(number, number + 1)])


def _one_is_published(scene: Scene, number: int) -> bool:
    letter = f'{{"id": null, "number": {number}}}'
    # it is a field of the entry there
    text = "\n".join(payloads(scene.broker, scene.topic(OUT_DEAD))).replace('\\"', '"')
    return number in _published(scene) and letter in text


def _outward_subscription(scene: Scene) -> None:
    create_subscription(scene.broker, scene.topic(OUT_DEAD), DEAD_LETTER_SUBSCRIPTION)
    keep(scene.broker, scene.topic())  # what is published while a grant is missing, and the broker closes the topic


STREAM = {"stream": {"key": "source", "payloadField": "payload", "trim": True}}


def _source_mode(
    kind: str, title: str, play: Play, keys: dict[str, str], channels: dict[str, str], trickle: Trickle | None = None
) -> Mode:
    return Mode(
        name=f"{kind}-to-pulsar",
        title=title,
        play=play,
        keys=keys,
        channels=channels,
        trickle=trickle,
        grants={"": BOTH, OUT_DEAD: BOTH, "-elsewhere": BOTH},
        topics={"": "TOPIC", OUT_DEAD: "TOPIC-DLQ", "-elsewhere": "REPLAY-TARGET"},
        seldom=(
            "srem",
            *(("lmove",) if kind == "channels" else ()),
            *(("xinfo|groups", "xlen", "xrange", "xread") if kind == "stream" else ()),
        ),
        scripts=("bridge/reroute.lua", "bridge/breaker.lua", *(("bridge/trim.lua",) if kind == "stream" else ())),
    )


ANNOUNCE: dict[str, Any] = {"sink": {"key": "id", "announce": {"channel": "news"}}}
FROM_STREAM = Trickle(
    _outward_subscription, lambda scene: _outward(scene, STREAM, **ANNOUNCE), _add_one, _one_is_published
)
SHARDED = {
    "source": "SOURCE",
    "source:*": "SOURCE:*",
    "headrace:source:{source}*": "headrace:source:{SOURCE}*",
    "headrace:source:{source:*": "headrace:source:{SOURCE:*",
}

MODES = [
    _sink_mode("list", "Pulsar to a list", inward("list", _in_list)),
    _sink_mode("stream", "Pulsar to a stream", inward("stream", _in_stream)),
    _sink_mode("hash", "Pulsar to a hash", inward("hash", _in_hash)),
    _sink_mode("channel", "Pulsar to a channel", _to_channel),
    _sink_mode("celery", "Pulsar to a Celery queue", inward("celery", _in_queue)),
    _source_mode(
        "list",
        "A list to Pulsar",
        outward({"list": {"key": "source"}}, _push, **ANNOUNCE),
        SHARDED,
        {"news": "ANNOUNCE"},
    ),
    _source_mode(
        "stream",
        "A stream to Pulsar",
        outward(STREAM, _add, **ANNOUNCE),
        SHARDED,
        {"news": "ANNOUNCE"},
        FROM_STREAM,
    ),
    _source_mode(
        "channels",
        "Channels to Pulsar",
        outward({"pubSub": {"channels": ["source"], "patterns": ["more.*"]}}, _say),
        {},
        {"source": "SOURCE", "more.*": "PATTERN"},
    ),
]
