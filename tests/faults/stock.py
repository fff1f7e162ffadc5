"""The control for Celery: the same app on kombu's own transport, with every setting that is said to make it safe.

`python -m tests.faults.stock URL`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import valkey
from celery import signals

from tests.faults import shop
from tests.integration.dataplane import ROOT, Headrace

VISIBILITY_SECONDS = 5
READY = "ready for tasks"


def start(document: dict[str, Any], directory: Path) -> Headrace:
    """Start it as a process of its own, in the place of a ValkeyWorker."""
    folder = directory / f"stock-{len(list(directory.glob('stock-*')))}"
    folder.mkdir()
    url = document["spec"]["valkey"]["url"].replace("valkey://", "redis://")
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.stock", url, document["spec"]["outbox"]["key"]],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Headrace("stock", document, folder, variables, process, 0)


def works(one: Headrace) -> bool:
    """Whether it takes tasks."""
    return READY in one.log()


def run(url: str, results: str) -> None:
    """Run Celery; each success is pushed to the list *results* before it is acknowledged."""
    shop.app.conf.update(
        broker_url=url,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_default_queue="messages",
        broker_connection_retry_on_startup=True,
        worker_redirect_stdouts=False,
    )

    def keep(result: dict[str, Any], **_: Any) -> None:
        with valkey.Valkey.from_url(url) as client:
            client.lpush(results, json.dumps({"payload": result}))

    def try_again(sender: Any, args: list[Any], **_: Any) -> None:
        sender.app.send_task(sender.name, args=[{**args[0], "fails": False}])

    def ready(**_: Any) -> None:
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()

    signals.task_success.connect(keep, weak=False)
    signals.task_failure.connect(try_again, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    shop.app.Worker(
        pool="prefork", concurrency=4, without_mingle=True, without_gossip=True, loglevel="WARNING", quiet=True
    ).start()


if __name__ == "__main__":
    run(*sys.argv[1:])
