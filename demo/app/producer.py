"""Sends the flights to Pulsar in the order of their departure, one in a hundred of them twice.

Runs as a Job inside the cluster. Prints its progress as JSON, one object a line, for the live table.
"""

import argparse
import gzip
import itertools
import json
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import _pulsar
import pulsar

FLIGHTS_FILE = Path(__file__).parent / "data" / "flights.jsonl.gz"
SEED = 2013
SENT_AGAIN_WITHIN = 200
"""A second copy follows its first after at most so many events, as a producer's retry would."""
REPORT_SECONDS = 0.5


def with_duplicates(lines: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield the first `count` lines, and 1 % of them once more a little later; the same ones in every run."""
    chosen = random.Random(SEED)
    twice = set(chosen.sample(range(count), count // 100))
    again: dict[int, list[bytes]] = defaultdict(list)
    for position, line in enumerate(itertools.islice(lines, count)):
        yield line
        yield from again.pop(position, ())
        if position in twice:
            again[position + chosen.randint(1, SENT_AGAIN_WITHIN)].append(line)
    for late in sorted(again):
        yield from again[late]


class Sending:
    """Sends without waiting for each message, counts what the broker has confirmed, keeps the first error."""

    def __init__(self, producer: Any) -> None:
        self.confirmed = 0
        self.error: object = None
        self._producer = producer
        self._lock = threading.Lock()

    def send(self, line: bytes) -> None:
        """Hand one event over; blocks while the client's queue is full."""
        if self.error is not None:
            raise RuntimeError(f"Pulsar refused an event: {self.error}")
        key = json.loads(line)["event_id"]
        self._producer.send_async(line, self._on_sent, partition_key=key)

    def _on_sent(self, result: object, _: object) -> None:
        with self._lock:
            if result == _pulsar.Result.Ok:
                self.confirmed += 1
            elif self.error is None:
                self.error = result


def main(arguments: list[str]) -> None:
    """Send the events; ends with an error when one was not confirmed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service-url", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args(arguments)

    client: Any = pulsar.Client(options.service_url)
    producer = client.create_producer(options.topic, batching_enabled=True, block_if_queue_full=True)
    sending = Sending(producer)
    handed_over, reported = 0, time.monotonic()
    with gzip.open(FLIGHTS_FILE, "rb") as lines:
        for line in with_duplicates((each.rstrip() for each in lines), options.events):
            sending.send(line)
            handed_over += 1
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                print(json.dumps({"sent": sending.confirmed}), flush=True)
    producer.flush()
    client.close()
    if sending.confirmed != handed_over:
        raise RuntimeError(f"{handed_over - sending.confirmed} events were not confirmed: {sending.error}")
    print(json.dumps({"sent": sending.confirmed, "complete": True}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
