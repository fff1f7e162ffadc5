"""The control: a bridge as one writes it in an afternoon. It pops and sends; or it receives, pushes, acknowledges.

`python -m tests.faults.naive CONFIG [POINT]`, POINT as for `tests.integration.deadly`. The harness must catch it.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulsar
import valkey

from tests.faults import naive
from tests.integration.dataplane import ROOT, Headrace
from tests.integration.deadly import arm

WAIT_SECONDS = 1


class ListToTopic:
    """Takes an entry off the list, then sends it."""

    def __init__(self, client: Any, producer: pulsar.Producer, key: str) -> None:
        self._client = client
        self._producer = producer
        self._list = key

    def take(self) -> str | None:
        """The next entry; nobody else has it any more."""
        found = self._client.brpop(self._list, WAIT_SECONDS)
        return found[1] if found else None

    def give(self, entry: str) -> None:
        """Send it, and wait until the broker has it."""
        self._producer.send(entry.encode(), partition_key=json.loads(entry)["key"])

    def settle(self) -> None:
        """Nothing is left to do."""


class TopicToList:
    """Receives a message, pushes it, then acknowledges it."""

    def __init__(self, client: Any, consumer: pulsar.Consumer, key: str) -> None:
        self._client = client
        self._consumer = consumer
        self._list = key
        self._message: pulsar.Message | None = None

    def take(self) -> str | None:
        """The next message; it comes again unless it is acknowledged."""
        try:
            self._message = self._consumer.receive(WAIT_SECONDS * 1000)
        except pulsar.Timeout:
            return None
        return str(self._message.data().decode())

    def give(self, entry: str) -> None:
        """Push it."""
        self._client.lpush(self._list, entry)

    def settle(self) -> None:
        """Acknowledge it."""
        self._consumer.acknowledge(self._message)


def run(document: dict[str, Any]) -> None:
    """Move messages until SIGTERM."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    source, sink = document["spec"]["source"], document["spec"]["sink"]
    client = valkey.Valkey.from_url(document["spec"]["valkey"]["url"], decode_responses=True)
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    broker = pulsar.Client(document["spec"]["pulsar"]["serviceUrl"], logger=logger)
    mover: ListToTopic | TopicToList
    if "valkey" in source:
        mover = ListToTopic(client, broker.create_producer(sink["pulsar"]["topic"]), source["valkey"]["list"]["key"])
    else:
        earliest = pulsar.InitialPosition.Earliest
        subscription = source["pulsar"]["subscription"]
        consumer = broker.subscribe(source["pulsar"]["topic"], subscription, initial_position=earliest)
        mover = TopicToList(client, consumer, sink["valkey"]["list"]["key"])
    sys.stdout.write("moving to the sink\n")
    sys.stdout.flush()
    while not stop:
        entry = mover.take()
        if entry is not None:
            mover.give(entry)
            mover.settle()
    broker.close()


def start(document: dict[str, Any], directory: Path, point: str | None) -> Headrace:
    """Start it as a process of its own, which is killed like a real one."""
    folder = directory / f"naive-{len(list(directory.glob('naive-*')))}"
    folder.mkdir()
    config = folder / "config.json"
    config.write_text(json.dumps(document))
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.naive", config, *([point] if point else [])],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Headrace("naive", document, folder, variables, process, 0)


if __name__ == "__main__":
    if sys.argv[2:]:
        arm(sys.argv[2])
    # the importable twin of this module, in which the point was armed
    naive.run(json.loads(Path(sys.argv[1]).read_text()))
