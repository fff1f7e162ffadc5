"""One run's stage: servers, traffic and the bridge processes that are killed on it."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults import naive
from tests.faults.proxy import Proxy
from tests.faults.scenario import BEHIND, PREFIX, SCENARIOS, Scenario, Servers
from tests.faults.traffic import Traffic
from tests.integration.dataplane import Headrace, wait_for

RATE = 500
NAIVE_RATE = 50
"""Messages a second. The naive bridge moves one at a time."""
REACH_SECONDS = 90.0
"""How long a state may take that is sure to come: the broker's own start takes 20 s at worst."""


class ExactValkey(Valkey):
    """A Valkey that confirms nothing that is not on disk: with `everysec` a killed one may forget what it confirmed,
    and the producer's own messages would be missing without anybody's fault."""

    def command(self) -> list[str | Path]:
        """The test bed's, with one line more; the last one counts."""
        program = [*super().command()]
        with (self.directory / "valkey.conf").open("a") as configuration:
            configuration.write("appendfsync always\n")
        return program


class Bed:
    """What the faults act on."""

    def __init__(
        self, scenario: Scenario, traffic: Traffic, directory: Path, chance: random.Random, control: bool
    ) -> None:
        self.scenario = scenario
        self.servers = scenario.servers
        self.traffic = traffic
        self.chance = chance
        self.control = control
        self.successor_point: str | None = None
        """Where the next process that is started shall die by itself."""
        self.struck = 0
        """How many messages were accepted when the last fault struck."""
        self.bridge: Headrace
        self.point: str | None = None
        """Where `bridge` will."""
        self._directory = directory
        self._started: list[Headrace] = []

    def start(self, point: str | None = None) -> Headrace:
        """Start a process, beside the one that works."""
        document = self.scenario.document()
        if self.control:
            one = naive.start(document, self._directory, point)
        else:
            one = Headrace.start("bridge", document, self._directory, deadly=point)
        self._started.append(one)
        return one

    def succeed(self, one: Headrace, point: str | None = None) -> None:
        """Let *one* be the bridge, and wait until it works, or died where it should."""
        self.bridge, self.point = one, point
        wait_for(
            lambda: "moving to" in one.log() or (point is not None and one.process.poll() is not None),
            f"{one.directory} works",
            REACH_SECONDS,
        )

    def bury(self, one: Headrace) -> None:
        """*one* was killed: its lease ends, now instead of after six seconds, which changes nothing but the time."""
        assert one.process.wait(REACH_SECONDS) == -signal.SIGKILL, one.log()
        with self.servers.valkey.client() as client:
            client.delete(f"{PREFIX}:lease")

    def replace(self, point: str | None) -> None:
        """Kill the bridge (unless it died) and start another."""
        self.bridge.kill()
        self.bury(self.bridge)
        self.succeed(self.start(point), point)

    def owner(self) -> str | None:
        """Whose the lease is or was last."""
        with self.servers.valkey.client() as client:
            token: str | None = client.get(f"{PREFIX}:owner")
        return token

    def caught_up(self) -> bool:
        """Whether the bridge is not far behind the traffic."""
        return self.scenario.behind(self.traffic.accepted) < BEHIND

    def end(self) -> None:
        """End what still runs."""
        for one in self._started:
            one.end()


@contextmanager
def bed(name: str, broker: Pulsar, directory: Path, chance: random.Random, *, control: bool) -> Iterator[Bed]:
    """A stage for the scenario *name*, with its traffic running and a bridge at work."""
    directory.mkdir(parents=True)
    topic = f"persistent://public/default/{directory.name}"
    with ExactValkey(directory / "valkey") as valkey, Proxy(valkey.port) as proxy:
        scenario = SCENARIOS[name](Servers(valkey, proxy, broker, topic))
        scenario.prepare()
        traffic = scenario.traffic(NAIVE_RATE if control else RATE)
        stage = Bed(scenario, traffic, directory, chance, control)
        try:
            yield stage
        finally:
            stage.end()
