"""The servers of a run: one Valkey and one Pulsar on loopback, and what every contender finds on them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from testbed.progress import step
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.bench.payload import Payload
from tests.integration.dataplane import ROOT, Headrace, admin_path, connections, create_topic, resource

NAMESPACE = "persistent://public/default"
DEAD_LETTERS = f"{NAMESPACE}/dead-letters"
REWRITE_BYTES = 1024**3
"""Valkey's append-only file is rewritten between runs when it is larger than this, never during one."""


class Bed:
    """Both servers and a folder for them, as ``with Bed() as bed:``. All of it goes with the block."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with self._stack as stack, step("starting Valkey and Pulsar"):
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
            self.valkey = stack.enter_context(Valkey(self.folder / "valkey"))
            self.pulsar = stack.enter_context(Pulsar(self.folder / "pulsar"))
            self.store: Any = stack.enter_context(self.valkey.client())
            # a rewrite forks and takes a core; between runs it disturbs nobody
            self.store.config_set("auto-aof-rewrite-percentage", 0)
            create_topic(self.pulsar, DEAD_LETTERS, deduplication=False)
            self._stack = stack.pop_all()
        self._numbers = itertools.count(1)
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def unique(self, what: str) -> str:
        """A name that nobody used before."""
        return f"{what}-{next(self._numbers)}"

    def sink_topic(self, name: str) -> str:
        """A topic to write to, with deduplication on, as the operator makes it. A subscription keeps it: the broker
        deletes idle topics without one."""
        topic = create_topic(self.pulsar, f"{NAMESPACE}/{name}")
        self.admin("PUT", f"{admin_path(topic)}/subscription/keeper", "latest")
        return topic

    def source_list(self, payload: Payload, count: int) -> str:
        """A list of *count* messages, filled by now, as producers that ``LPUSH`` leave it."""
        template, name = f"template:{payload.size}:{count}", self.unique("source")
        if not self.store.exists(template):
            for block in _blocks(payload, count):
                self.store.lpush(template, *block)
        self.store.copy(template, name)
        return name

    def source_stream(self, payload: Payload, count: int) -> str:
        """A stream of *count* entries, filled by now: the message is its field ``payload``."""
        template, name = f"template:stream:{payload.size}:{count}", self.unique("source")
        if not self.store.exists(template):
            for block in _blocks(payload, count):
                pipeline = self.store.pipeline(transaction=False)
                for message in block:
                    pipeline.xadd(template, {"payload": message})
                pipeline.execute()
        self.store.copy(template, name)
        return name

    def source_topic(self, payload: Payload, count: int) -> str:
        """A topic that holds *count* messages in the client's own batches. A subscription keeps them."""
        topic = create_topic(self.pulsar, f"{NAMESPACE}/{self.unique('source')}", deduplication=False)
        self.admin("PUT", f"{admin_path(topic)}/subscription/keeper", "earliest")
        run = {"service_url": self.pulsar.service_url, "topic": topic, "size": payload.size, "count": count}
        with self.child("tests.bench.open_loop", "fill", run) as child:
            assert child.wait(120) == 0
        return topic

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call Pulsar's admin API."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.pulsar.admin_url + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def published(self, topic: str) -> int:
        """Messages that the broker took into *topic* so far."""
        return int(self.admin("GET", f"{admin_path(topic)}/stats")["msgInCounter"])

    def unsubscribe(self, topic: str, subscription: str) -> None:
        """Remove a subscription whose consumer was killed."""
        self.admin("DELETE", f"{admin_path(topic)}/subscription/{subscription}?force=true")

    def settle(self) -> None:
        """Remove what a run left, so that the next one starts as that one did."""
        names = [name for name in self.store.keys("*") if not str(name).startswith("template:")]
        if names:
            self.store.delete(*names)
        if int(self.store.info("persistence")["aof_current_size"]) > REWRITE_BYTES:
            self.store.bgrewriteaof()
            while self.store.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.05)

    @contextmanager
    def bridge(self, name: str, source: dict[str, Any], sink: dict[str, Any]) -> Iterator[Headrace]:
        """A real ``headrace bridge`` process; ended at once with the block, for what it moved is counted by then."""
        spec = {
            "source": source,
            "sink": sink,
            "deadLetter": {"topic": DEAD_LETTERS},
            **connections(self.valkey, self.pulsar),
        }
        running = Headrace.start("bridge", resource("PulsarBridge", name, spec), self.folder)
        try:
            yield running
        except BaseException:
            sys.stderr.write(running.log()[-2000:])
            raise
        finally:
            running.end()

    @contextmanager
    def child(self, module: str, name: str, arguments: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
        """A process of the bench's own: function *name* of *module*; ended with the block."""
        command = [sys.executable, "-m", module, name, json.dumps(arguments)]
        paths = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
        child = subprocess.Popen(command, cwd=ROOT, env=paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield child
        finally:
            child.kill()
            child.wait(10)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()


def _blocks(payload: Payload, count: int) -> Iterator[list[bytes]]:
    messages = payload.messages(count)
    while block := list(itertools.islice(messages, 1000)):
        yield block
