"""The workers: each mode with retries, dead letters and an outbox, through a takeover and a restart."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from headrace.bridge.envelope import envelopes
from tests.integration.dataplane import Headrace, wait_for
from tests.permissions.bed import Scene
from tests.permissions.mode import Mode, Play, Trickle

OUTBOX, LETTERS = "results", "letters"
SECONDS = 60.0

Put = Callable[[Scene, dict[str, Any]], None]
Start = Callable[[Scene], Headrace]


def _spec(**mode: Any) -> dict[str, Any]:
    return {
        "outbox": {"key": OUTBOX},
        "deadLetter": {"key": LETTERS},
        "retry": {"maxAttempts": 2, "backoff": {"baseSeconds": 1, "capSeconds": 1, "jitter": False}},
        **mode,
    }


def _starter(**mode: Any) -> Start:
    return lambda scene: scene.start("worker", "ValkeyWorker", _spec(**mode))


def _results(scene: Scene) -> set[int]:
    return {json.loads(entry)["payload"]["id"] for entry in scene.admin.lrange(OUTBOX, 0, -1)}


def _refused(scene: Scene) -> int:
    return int(scene.admin.llen(LETTERS))


def _await(scene: Scene, *ids: int) -> None:
    wait_for(lambda: set(ids) <= _results(scene), f"results of {ids}", SECONDS)


def works(
    put: Put, first: Start, later: Start | None = None, more: Callable[[Scene], None] = lambda scene: None
) -> Play:
    """The play of a worker; *later*: how it starts the third time."""

    def play(scene: Scene) -> None:
        one = first(scene).wait_until_ready()
        for number in range(5):
            put(scene, {"id": number})
        put(scene, {"id": 5, "fail": 1})
        put(scene, {"id": 6, "fail": 9})
        put(scene, {"id": 7, "refuse": True})
        _await(scene, *range(6))
        wait_for(lambda: _refused(scene) == 2, "two dead letters", SECONDS)
        two = first(scene).wait_until_ready()
        for number in range(10, 20):
            put(scene, {"id": number, "seconds": 1})
        _await(scene, 10)
        one.kill()
        _await(scene, *range(10, 20))
        two.stop()
        three = (later or first)(scene).wait_until_ready()
        put(scene, {"id": 20})
        _await(scene, 20)
        more(scene)
        three.stop()

    return play


def _put_one(put: Put) -> Callable[[Scene, int], None]:
    def both(scene: Scene, number: int) -> None:
        put(scene, {"id": number})
        put(scene, {"id": number + 10_000, "refuse": True})

    return both


def _one_is_done(scene: Scene, number: int) -> bool:
    letters = scene.admin.lrange(LETTERS, 0, -1)
    return number in _results(scene) and any(str(number + 10_000) in letter for letter in letters)


def trickle(put: Put, start: Start) -> Trickle:
    """One message at a time."""
    return Trickle(lambda scene: None, start, _put_one(put), _one_is_done)


def _in_list(scene: Scene, order: dict[str, Any]) -> None:
    scene.admin.lpush("source", json.dumps(order))


def _in_sorted_set(scene: Scene, order: dict[str, Any]) -> None:
    scene.admin.zadd("source", {json.dumps(order): time.time() - 60})


def _in_hash(scene: Scene, order: dict[str, Any]) -> None:
    scene.admin.hset("source", order["id"], json.dumps(order))


def _in_stream(scene: Scene, order: dict[str, Any]) -> None:
    scene.admin.xadd("source", {"payload": json.dumps(order)})


def _on_channel(scene: Scene, order: dict[str, Any]) -> None:
    scene.admin.publish("source", json.dumps(order))


def _on_queue(scene: Scene, order: dict[str, Any]) -> None:
    task = "work.other" if order.get("refuse") or order.get("fail") == 9 else "work.handle"
    body = envelopes(task, "source")(str(uuid.uuid4()), json.dumps(order).encode(), b'"headrace":{}')
    scene.admin.lpush("source", body)


RUNTIME = {"handler": "tests.permissions.work:handle", "leaseSeconds": 3}
KEYS = {"source": "SOURCE", OUTBOX: "OUTBOX", LETTERS: "DEAD-LETTERS"}


def _polling(name: str, title: str, place: str, put: Put) -> Mode:
    start = _starter(mode="Polling", polling={place: {"key": "source"}, **RUNTIME})
    return Mode(
        name=f"polling-{name}",
        title=title,
        play=works(put, start),
        keys=KEYS,
        trickle=trickle(put, start) if place == "list" else None,
    )


def _celery(**celery: Any) -> Start:
    block = {
        "app": "tests.permissions.work:app",
        "queues": [{"name": "source"}],
        "concurrency": 2,
        "results": {"enabled": True},
        **celery,
    }
    spec = _spec(celery=block)
    spec["outbox"]["tasks"] = ["work.handle"]
    return lambda scene: scene.start("worker", "ValkeyWorker", spec)


CELERY_KEYS = {
    OUTBOX: "OUTBOX",
    LETTERS: "DEAD-LETTERS",
    "source*": "QUEUE*",
    "celery-task-meta-*": "celery-task-meta-*",
    "_kombu.binding*": "_kombu.binding*",
    "*celery.pidbox*": "*celery.pidbox*",
    "unacked*": "unacked*",
}
CELERY_CHANNELS = {
    "celery-task-meta-*": "celery-task-meta-*",
    "/0.celery.pidbox": "/0.celery.pidbox",
    "/0.celeryev/*": "/0.celeryev/*",
}

MODES = [
    _polling("list", "Polling a list", "list", _in_list),
    _polling("zset", "Polling a sorted set", "zset", _in_sorted_set),
    _polling("hash", "Polling a hash", "hash", _in_hash),
    Mode(
        name="stream-worker",
        title="Stream",
        play=works(
            _in_stream,
            _starter(mode="Stream", stream={"key": "source", "payloadField": "payload", "trim": True, **RUNTIME}),
        ),
        keys=KEYS,
        scripts=("bridge/trim.lua", "handlers/retire.lua"),
    ),
    Mode(
        name="channel-worker",
        title="PubSub",
        play=works(
            _on_channel,
            _starter(mode="PubSub", pubSub={"channels": ["source"], "patterns": ["more.*"], **RUNTIME}),
        ),
        keys={OUTBOX: "OUTBOX", LETTERS: "DEAD-LETTERS"},
        channels={"source": "SOURCE", "more.*": "PATTERN"},
    ),
    Mode(
        name="celery",
        title="Celery",
        play=works(
            _on_queue,
            _celery(),
            _celery(pool="Threads", beat={"enabled": True}),
            lambda scene: _await(scene, 1000),
        ),
        keys=CELERY_KEYS,
        channels=CELERY_CHANNELS,
        scripts=("celery/publish_once.lua", "celery/started_again.lua", "celery/transport/adopt.lua"),
        note="`/0` is the broker's database. `unacked*` is for what workers with Celery's stock transport left.",
    ),
]
