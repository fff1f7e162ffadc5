"""Applications that give messages to bridges and workers, with a user of their own."""

from __future__ import annotations

import celery
import valkey as valkey_library

from headrace.bridge import hybrid_publish
from headrace.celery.enqueue import enqueue_many
from tests.permissions.bed import PASSWORD, USER, Scene
from tests.permissions.mode import Mode


def _publish(scene: Scene) -> None:
    server = scene.valkey
    with valkey_library.Valkey(host=server.host, port=server.port, username=USER, password=PASSWORD) as client:
        for number in (0, 1, 1):
            hybrid_publish(client, str(number).encode(), channel="news", outbox="outbox", message_id=str(number))
    assert scene.admin.llen("outbox") == 2


def _handle(order: dict[str, int]) -> None:
    """Never run."""


def _call(scene: Scene) -> None:
    server = scene.valkey
    url = f"valkey://{USER}:{PASSWORD}@{server.host}:{server.port}"
    results = f"headrace.celery.results:Backend+{url}/1"
    app = celery.Celery("calls", broker=f"{url}/0", backend=results, set_as_current=False)
    app.conf.task_default_queue = "queue"
    task = app.task(name="work.handle")(_handle)
    try:
        task.delay({"id": 0}).forget()
        enqueue_many(task, [({"id": number},) for number in range(1, 10)])
    finally:
        app.close()
    assert scene.admin.llen("queue") == 10


MODES = [
    Mode(
        name="hybrid-publish",
        title="hybrid_publish",
        play=_publish,
        keys={"outbox": "OUTBOX", "outbox:published:*": "OUTBOX:published:*"},
        channels={"news": "CHANNEL"},
    ),
    Mode(
        name="calls",
        title="Calls of Celery tasks",
        play=_call,
        keys={
            "queue*": "QUEUE*",
            "celery-task-meta-*": "celery-task-meta-*",
            "_kombu.binding*": "_kombu.binding*",
            "headrace:enqueued:*": "headrace:enqueued:*",
        },
        channels={"celery-task-meta-*": "celery-task-meta-*"},
        note="Only `enqueue_many` uses `headrace:enqueued:*`.",
    ),
]
