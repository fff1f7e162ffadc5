"""Celery tasks on Valkey: each leaves its result in a list, once."""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from testbed.loopback import HOST
from tests.faults import stock
from tests.faults.bed import Bed
from tests.faults.network import PATIENCE_SECONDS, Network
from tests.faults.scenario import LIST, NAME, PREFIX, Point, Scenario
from tests.faults.traffic import LIST_PUSH, Traffic, ValkeyTraffic, key_of
from tests.faults.verdict import Found
from tests.integration.dataplane import Headrace, resource, wait_for

RESULTS = "results"
SLOW_EVERY, LATER_EVERY, FAILS_EVERY = 97, 23, 11
LATER_SECONDS = 1.5
ATTEMPTS = 20
"""A task whose worker is killed has used one up."""


def task(number: int) -> str:
    """A task of that number, in Celery's message protocol 2; some are slow, some are for later, some fail at first."""
    message = {"id": number, "key": key_of(number), "slow": not number % SLOW_EVERY, "fails": not number % FAILS_EVERY}
    later = datetime.now(UTC) + timedelta(seconds=LATER_SECONDS)
    identity = f"task-{number}"
    return json.dumps(
        {
            "body": json.dumps([[message], {}, {}]),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {
                "task": "crash.work",
                "id": identity,
                "retries": 0,
                "eta": None if number % LATER_EVERY else later.isoformat(),
            },
            "properties": {
                "delivery_tag": identity,
                "priority": 0,
                "delivery_info": {"exchange": "", "routing_key": LIST},
            },
        }
    )


def child_killed(bed: Bed) -> None:
    """`kill -9` of one of the processes that run tasks."""
    bed.await_moment()
    if children := bed.bridge.children():
        os.kill(bed.chance.choice(children), signal.SIGKILL)


def children_frozen_then_killed(bed: Bed) -> None:
    """SIGSTOP of all that run tasks; then all are killed, and the parent with them."""
    bed.await_moment()
    for child in bed.bridge.children():
        os.kill(child, signal.SIGSTOP)
    bed.flow(bed.chance.uniform(0.3, 1.0))
    bed.replace(bed.successor_point)


def frozen_then_killed(bed: Bed) -> None:
    """SIGSTOP of the parent while messages arrive; then all are killed."""
    bed.await_moment()
    bed.bridge.signal(signal.SIGSTOP)
    bed.flow(bed.chance.uniform(0.3, 1.0))
    bed.replace(bed.successor_point)


def parent_killed(bed: Bed) -> None:
    """`kill -9` of the parent; those that run tasks go on for a while with what they have in hand."""
    bed.await_moment()
    bed.bridge.signal(signal.SIGKILL)
    time.sleep(bed.chance.uniform(0.1, 1.0))
    bed.replace(bed.successor_point)


class PreforkTasks(Scenario):
    """Tasks in processes of their own: the parent takes and acknowledges, the child makes the result."""

    command = "worker"
    rate = 100
    naive_rate = 20
    """So few that the control waits for tasks most of the time, which is when it loses them."""
    sides = frozenset({"Valkey"})
    leased = False
    deaths: ClassVar[Mapping[str, Callable[[Any], None]]] = {
        "child killed": child_killed,
        "children frozen, then all killed": children_frozen_then_killed,
        "frozen, then killed": frozen_then_killed,
        "parent killed": parent_killed,
    }
    points: Mapping[str, Point] = {
        "before a reservation": Point("headrace.celery.transport.owner:Owner.reserve@before", 30),
        "after Valkey has reserved": Point("headrace.celery.transport.owner:Owner._apply", 30),
        "after a reservation": Point("headrace.celery.transport.owner:Owner.reserve", 30),
        "before an acknowledgement": Point("headrace.celery.transport.owner:Owner.ack@before", 60),
        "after an acknowledgement": Point("headrace.celery.transport.owner:Owner.ack", 60),
    }
    naive_points: Mapping[str, Point] = {}
    control = "tasks-prefork"
    naive_faults = ("frozen, then killed",)
    pool = "Prefork"

    def prepare(self) -> None:
        """Lists come by themselves."""

    def document(self, network: Network) -> dict[str, Any]:
        """A worker with an outbox."""
        spec = {
            "valkey": {"url": f"valkey://{HOST}:{network.valkey.port}/0"},
            "celery": {
                "app": "tests.faults.shop:app",
                "queues": [{"name": LIST}],
                "concurrency": 4,
                "pool": self.pool,
                "results": {"enabled": False},
            },
            "outbox": {"key": RESULTS, "tasks": ["crash.work"]},
            "retry": {"maxAttempts": ATTEMPTS, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
        }
        return resource("ValkeyWorker", NAME, spec)

    def start_naive(self, document: dict[str, Any], directory: Path, point: str | None) -> Headrace:
        """Celery with kombu's own transport."""
        return stock.start(document, directory)

    def works(self, one: Headrace) -> bool:
        """It takes tasks."""
        return one.get("/readyz")[0] == 200 if one.port else stock.works(one)

    def moves(self, one: Headrace) -> bool:
        """A task has succeeded."""
        return one.metric("celery_task_succeeded_total") > 0

    def owners(self) -> set[str]:
        """Who holds tasks."""
        with self.servers.valkey.client() as client:
            return set(client.zrange(f"{PREFIX}:owners", 0, -1))

    def dispossess(self, owners: set[str]) -> None:
        """The lease must run out: a worker that starts looks for those."""
        wait_for(lambda: not self.owners() & owners, "the tasks are given to others", PATIENCE_SECONDS)

    def end_lease(self) -> None:
        """Nobody ends it but time."""

    def traffic(self, rate: int) -> Traffic:
        """Pushes to the queue's list."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, LIST_PUSH, task)

    def behind(self, accepted: int) -> int:
        """How many results are missing."""
        with self.servers.valkey.client() as client:
            return accepted - int(client.llen(RESULTS))

    def drained(self) -> bool:
        """Nothing waits, and nobody holds anything."""
        with self.servers.valkey.client() as client:
            held = sum(int(client.hlen(key)) for key in client.scan_iter(match="*unacked*", _type="HASH"))
            return not client.llen(LIST) and not held

    def found(self) -> list[Found]:
        """The results. Tasks run side by side: there is no order to keep."""
        with self.servers.valkey.client() as client:
            entries: list[str] = client.lrange(RESULTS, 0, -1)
        records = [json.loads(entry) for entry in reversed(entries)]
        given_up = [record for record in records if record.get("reason")]
        assert not given_up, given_up[:3]
        messages = [record["payload"] for record in records]
        return [Found(message["id"], str(message["id"])) for message in messages]


class ThreadsTasks(PreforkTasks):
    """Tasks in threads: the result rides with the acknowledgement."""

    deaths: ClassVar[Mapping[str, Callable[[Any], None]]] = {"frozen, then killed": frozen_then_killed}
    pool = "Threads"
