"""The server of the workers' bench, and the processes that meet there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from headrace.celery.enqueue import enqueue_many
from testbed.progress import step
from testbed.valkey import Valkey
from tests.bench.tally import Tally
from tests.bench.window import Sample, watch
from tests.bench.worker_process import application
from tests.integration.dataplane import ROOT

QUEUE = "celery"
RUN_SECONDS = 300.0
STOCK, HEADRACE, MEMORY = "stock", "headrace", "memory"


@dataclass(frozen=True)
class Traffic:
    """What the server was asked for while a worker ran tasks, a task."""

    round_trips: float
    """Times that the server read from a connection."""
    commands: float
    """Commands, those of scripts included."""


@dataclass
class Worker:
    """A worker process with its children."""

    process: subprocess.Popen[str]
    tally: Tally

    def process_ids(self) -> list[int]:
        """Its own and its children's."""
        path = Path(f"/proc/{self.process.pid}/task")
        children = " ".join((thread / "children").read_text() for thread in path.iterdir())
        return [self.process.pid, *map(int, children.split())]

    def kill(self) -> None:
        """``kill -9``, children included."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class WorkerBed:
    """A Valkey for all contenders, as ``with WorkerBed() as bed:``."""

    def __enter__(self) -> Self:
        with ExitStack() as stack, step("starting Valkey"):
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
            self.valkey = stack.enter_context(Valkey(self._folder / "valkey"))
            self.store: Any = stack.enter_context(self.valkey.client())
            self.store.config_set("auto-aof-rewrite-percentage", 0)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def urls(self, contender: str) -> dict[str, str]:
        """Where a contender's tasks and results are."""
        if contender == MEMORY:
            return {"broker": "memory://", "results": "cache+memory://"}
        if contender == STOCK:
            address = self.valkey.url.replace("valkey://", "redis://")
            return {"broker": address, "results": address}
        return {"broker": self.valkey.url, "results": f"headrace.celery.results:Backend+{self.valkey.url}"}

    def template(self, task: str, count: int) -> str:
        """A list of *count* messages, made once."""
        name = f"template:{task}:{count}"
        if not self.store.exists(name):
            app = application(**self.urls(STOCK))
            enqueue_many(app.tasks[task], (() for _ in range(count)), queue=name)
            app.close()
        return name

    def settle(self) -> None:
        """Remove what a run left."""
        names = [name for name in self.store.keys("*") if not str(name).startswith("template:")]
        if names:
            self.store.delete(*names)

    @contextmanager
    def worker(
        self, contender: str, pool: str, concurrency: int, fill: int = 0, **environment: str
    ) -> Iterator[Worker]:
        """A worker that is ready (with *fill* perhaps at work already), and killed with the block."""
        path = Path(tempfile.mkdtemp(dir=self._folder)) / "tally"
        tally = Tally(path)
        arguments = {"urls": self.urls(contender), "tally": str(path), "pool": pool, "concurrency": concurrency}
        with self._child("work", arguments | {"fill": fill}, environment) as process:
            running = Worker(process, tally)
            try:
                assert process.stdout is not None
                if not fill:
                    assert process.stdout.readline() == "ready\n", "the worker ended"
                yield running
            finally:
                running.kill()
        self.settle()

    def enqueue(self, contender: str, how: str, calls: int) -> Sample:
        """A process that calls a task *calls* times: ``delay`` or ``batch``."""
        with self._child(how, {"urls": self.urls(contender), "calls": calls}, {}) as process:
            output, _ = process.communicate(timeout=120)
        if contender != MEMORY:
            assert self.store.llen(QUEUE) == calls + 1
        self.settle()
        return Sample(**json.loads(output))

    def drain(self, worker: Worker, task: str, count: int) -> tuple[Sample, Traffic]:
        """Let *worker* find *count* tasks at once and run them."""
        template, before = self.template(task, count), worker.tally.total()
        self.store.config_resetstat()
        self.store.copy(template, QUEUE)
        sample = watch(lambda: worker.tally.total() - before, count, *worker.process_ids(), seconds=RUN_SECONDS)
        facts, calls = self.store.info("stats"), self.store.info("commandstats")
        # ours were the reset, the copy and the first of these two
        commands = sum(each["calls"] for each in calls.values()) - 3
        return sample, Traffic((facts["total_reads_processed"] - 3) / count, commands / count)

    def watch(self, worker: Worker, count: int) -> Sample:
        """A worker that had its tasks before it was started."""
        return watch(worker.tally.total, count, *worker.process_ids(), seconds=RUN_SECONDS)

    @contextmanager
    def _child(
        self, name: str, arguments: dict[str, Any], environment: dict[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "tests.bench.worker_process", name, json.dumps(arguments)]
        variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", **environment}
        child = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)
            if child.stdout is not None:
                child.stdout.close()
