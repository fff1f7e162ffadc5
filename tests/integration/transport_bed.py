"""What the tests of the transport share: workers of Celery's own, and what they noted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celery

import headrace.celery  # noqa: F401
from testbed.valkey import Valkey
from tests.integration.celery_worker import CeleryWorker
from tests.integration.dataplane import wait_for

LEASE_SECONDS = 1.5
PREFIX = "headrace:{celery}"


class Bed:
    """The app of `transport_tasks` with the broker *url*, *server* when left out; *stock*: Celery's own transport."""

    def __init__(
        self, server: Valkey, directory: Path, *, url: str | None = None, stock: bool = False, **options: Any
    ) -> None:
        self.server = server
        self.directory = directory
        self.url = server.url.replace("valkey://", "redis://") if stock else url or server.url
        self.options = {"lease_seconds": LEASE_SECONDS, **options}

    @contextmanager
    def worker(self, *arguments: str, multiplier: int = 4, **options: Any) -> Iterator[CeleryWorker]:
        """A worker until the block ends."""
        environment = {
            "TRANSPORT_BROKER": self.url,
            "TRANSPORT_NOTES": self.server.url,
            "TRANSPORT_OPTIONS": json.dumps({**self.options, **options}),
            "TRANSPORT_MULTIPLIER": str(multiplier),
        }
        with CeleryWorker.start(
            "tests.integration.transport_tasks:app", self.directory, environment, *arguments
        ) as worker:
            yield worker

    def app(self) -> celery.Celery:
        """A producer."""
        app = celery.Celery("producer", broker=self.url, set_as_current=False)
        app.conf.update(broker_transport_options=self.options, task_ignore_result=True)
        return app

    def send(self, task: str, *arguments: Any, **options: Any) -> None:
        """Queue a task."""
        with self.app() as app:
            app.send_task(f"transport.{task}", arguments, **options)

    def send_as_admin(self, task: str, *arguments: Any) -> None:
        """Queue a task with all rights, whatever the worker may do."""
        Bed(self.server, self.directory).send(task, *arguments)

    def notes(self) -> list[str]:
        """What the tasks noted."""
        with self.server.client() as client:
            return [str(note) for note in client.lrange("notes", 0, -1)]

    def wait_for_notes(self, *expected: str, seconds: float = 30) -> None:
        """Wait until all of *expected* were noted."""
        wait_for(lambda: set(expected) <= set(self.notes()), f"{expected} among the notes", seconds)

    def held(self) -> int:
        """Messages that workers hold."""
        with self.server.client() as client:
            return sum(client.hlen(key) for key in client.scan_iter(f"{PREFIX}:unacked:*"))

    def waiting(self, queue: str = "celery") -> int:
        """Messages in a queue's list."""
        with self.server.client() as client:
            return int(client.llen(queue))

    def letters(self, key: str = "celery-dlq") -> list[dict[str, Any]]:
        """The dead letters."""
        with self.server.client() as client:
            return [json.loads(letter) for letter in client.lrange(key, 0, -1)[::-1]]

    def wait_until_settled(self) -> None:
        """Nothing waits and nothing is held."""
        wait_for(lambda: self.waiting() + self.held() == 0, "all is acknowledged")


def frozen(worker: CeleryWorker) -> bool:
    """Whether SIGSTOP took effect."""
    return Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
