"""Plain handlers of a list and of a stream: each message leaves its result in a list, once."""

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from testbed.loopback import HOST
from tests.faults.network import Network
from tests.faults.scenario import LIST, NAME, PREFIX, Point
from tests.faults.tasks import ATTEMPTS, RESULTS, PreforkTasks, frozen_then_killed
from tests.faults.traffic import LIST_PUSH, STREAM_PUSH, Traffic, ValkeyTraffic
from tests.integration.dataplane import Headrace, resource

LEASE_SECONDS = 5
GROUP = "crash"


class HandledList(PreforkTasks):
    """A list that is polled."""

    rate = 200
    deaths: ClassVar[Mapping[str, Callable[[Any], None]]] = {"frozen, then killed": frozen_then_killed}
    points: Mapping[str, Point] = {
        "before a reservation": Point("headrace.handlers.reservations:Reservations.take@before", 30),
        "after a reservation": Point("headrace.handlers.reservations:Reservations.take", 30),
        "before an acknowledgement": Point("headrace.handlers.reservations:Reservations.settle@before", 30),
        "after an acknowledgement": Point("headrace.handlers.reservations:Reservations.settle", 30),
    }
    mode: ClassVar[Mapping[str, Any]] = {
        "mode": "Polling",
        "polling": {"list": {"key": LIST}, "intervalSeconds": 1, "leaseSeconds": LEASE_SECONDS},
    }

    def document(self, network: Network) -> dict[str, Any]:
        """A worker with an outbox."""
        block = "stream" if "stream" in self.mode else "polling"
        spec = {
            "valkey": {"url": f"valkey://{HOST}:{network.valkey.port}/0"},
            "outbox": {"key": RESULTS},
            "retry": {"maxAttempts": ATTEMPTS, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
            **self.mode,
            block: {**self.mode[block], "handler": "tests.faults.clerk:handle", "concurrency": 4},
        }
        return resource("ValkeyWorker", NAME, spec)

    def moves(self, one: Headrace) -> bool:
        """A message was handled."""
        return one.metric("headrace_worker_succeeded_total") > 0

    def dispossess(self, owners: set[str]) -> None:
        """The lease of each message must run out, which nothing but time brings about."""
        time.sleep(LEASE_SECONDS + 1)

    def traffic(self, rate: int) -> Traffic:
        """Pushes to the list."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, LIST_PUSH)

    def drained(self) -> bool:
        """Nothing waits, and nobody holds anything."""
        with self.servers.valkey.client() as client:
            waiting = client.llen(LIST)
            return not waiting and not list(client.scan_iter(match=f"{PREFIX}:polled:*"))


class HandledStream(HandledList):
    """A stream, read by a group."""

    mode: ClassVar[Mapping[str, Any]] = {
        "mode": "Stream",
        "stream": {
            "key": LIST,
            "group": GROUP,
            "initialPosition": "Earliest",
            "payloadField": "payload",
            "trim": True,
            "leaseSeconds": LEASE_SECONDS,
        },
    }

    def traffic(self, rate: int) -> Traffic:
        """Adds to the stream."""
        return ValkeyTraffic(self.servers.valkey, LIST, rate, STREAM_PUSH)

    def drained(self) -> bool:
        """The group has read and acknowledged everything."""
        with self.servers.valkey.client() as client:
            if not client.exists(LIST):
                return False
            groups = [group for group in client.xinfo_groups(LIST) if group["name"] == GROUP]
            return bool(groups) and not groups[0]["pending"] and not groups[0]["lag"]
