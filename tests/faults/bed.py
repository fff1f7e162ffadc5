"""One run's stage: servers, traffic and the bridge processes that are killed on it."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import valkey

from testbed.valkey import Valkey
from tests.faults.network import PATIENCE_SECONDS, Network, ProxiedPulsar
from tests.faults.scenario import BEHIND, Scenario, Servers
from tests.faults.traffic import Traffic
from tests.integration.dataplane import Headrace, permit, wait_for

SHORTEST, LONGEST = 0.1, 0.8
"""How many messages lie between two faults, in seconds of the traffic's rate."""
RECOVERY_SECONDS = 30.0
"""How long a fault waits for the bridge to have recovered from the one before."""
HARNESS = "harness"
"""The user that producers and the harness itself are in Valkey."""
HASTE = 0.3
"""The share of faults that strike before the bridge has recovered from the one before."""


class ExactValkey(Valkey):
    """A Valkey that confirms nothing that is not on disk: with `everysec` a killed one may forget what it confirmed,
    and the producer's own messages would be missing without anybody's fault."""

    def command(self) -> list[str | Path]:
        """The test bed's, with two lines more; the last one counts."""
        program = [*super().command()]
        with (self.directory / "valkey.conf").open("a") as configuration:
            configuration.write(f"appendfsync always\nuser {HARNESS} on >{HARNESS} ~* &* +@all\n")
        return program

    def client(self, database: int = 0) -> valkey.Valkey:
        """A client of a user that nobody takes anything from; who is put to the test is the default user."""
        return valkey.Valkey(
            host=self.host,
            port=self.port,
            db=database,
            username=HARNESS,
            password=HARNESS,
            decode_responses=True,
            socket_timeout=5,
        )


class Bed:
    """What the faults act on."""

    def __init__(
        self,
        scenario: Scenario,
        traffic: Traffic,
        networks: list[Network],
        directory: Path,
        chance: random.Random,
        *,
        control: bool,
        mutant: str | None,
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
        self.story: list[str] = []
        """What befell it: each fault, and how many messages were accepted when it struck."""
        self.untold = 0
        """How many troubles held the bridge up and it did not tell."""
        self.bridge: Headrace
        self.point: str | None = None
        """Where `bridge` will."""
        self.mutant = mutant
        self._remarks: list[str] = []
        self._networks = networks
        self.directory = directory
        self._started: list[Headrace] = []
        self._placed: dict[int, Network] = {}

    def tell(self, name: str) -> None:
        """The fault of that *name* is over."""
        remarks = f" ({', '.join(self._remarks)})" if self._remarks else ""
        self.story.append(f"{name} at {self.struck}{remarks}")
        self._remarks.clear()

    def remark(self, what: str) -> None:
        """Say something of the fault that strikes now."""
        self._remarks.append(what)

    def hear(self, what: str) -> None:
        """Another run broke what this one uses too."""
        self.story.append(f"{what} at {self.traffic.accepted}")

    @property
    def network(self) -> Network:
        """The one that `bridge` is on."""
        return self._placed[self.bridge.process.pid]

    def start(self, point: str | None = None, *, beside: bool = False) -> Headrace:
        """Start a process, on the first network or (*beside*) on the one that `bridge` is not on."""
        network = self._networks[0]
        if beside:
            network = next(each for each in self._networks if each is not self.network)
        one = self.launch(self.scenario.document(network), point)
        self._placed[one.process.pid] = network
        return one

    def launch(self, document: dict[str, Any], point: str | None = None) -> Headrace:
        """Start what is put to the test, with that configuration."""
        if self.control:
            one = self.scenario.start_naive(document, self.directory, point)
        elif self.mutant:
            program = ("tests.faults.mutant", self.mutant, point or "")
            one = Headrace.start(
                self.scenario.command, document, self.directory, secrets=self.servers.secrets, program=program
            )
        else:
            one = Headrace.start(
                self.scenario.command, document, self.directory, secrets=self.servers.secrets, deadly=point
            )
        self._started.append(one)
        return one

    def succeed(self, one: Headrace, point: str | None = None) -> None:
        """Let *one* be the bridge, and wait until it works, or died or stopped where it should."""
        self.bridge, self.point = one, point

        def works() -> bool:
            dead = one.process.poll()
            assert dead is None or (point is not None and dead == -signal.SIGKILL), one.log()
            return dead is not None or self.scenario.works(one) or (point is not None and one.frozen())

        wait_for(works, f"{one.directory} works", PATIENCE_SECONDS)

    def bury(self, one: Headrace) -> None:
        """*one* was killed, and with it what it had started; its lease ends."""
        assert one.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL, one.log()
        one.kill()
        self.scenario.end_lease()

    def replace(self, point: str | None) -> None:
        """Kill the bridge (unless it died) and start another."""
        self.bridge.kill()
        self.bury(self.bridge)
        self.succeed(self.start(point), point)

    def caught_up(self) -> bool:
        """Whether the bridge is not far behind the traffic."""
        return self.scenario.behind(self.traffic.accepted) < BEHIND

    def await_moment(self) -> None:
        """Wait for a random message, and for the bridge to have recovered unless this fault is hasty.

        The control is always struck in haste: it moves one message at a time and hardly keeps up. And so are mutants:
        one that lost too much never catches up.
        """
        gap = self.chance.uniform(SHORTEST, LONGEST)
        hasty = self.chance.random() < HASTE or self.control or self.mutant
        self.flow(gap)
        if not hasty:
            # the count at the end tells of losses, not this
            with suppress(AssertionError):
                wait_for(self.caught_up, "the bridge has recovered", RECOVERY_SECONDS)
        self.struck = self.traffic.accepted

    def flow(self, seconds: float) -> None:
        """Wait until the traffic has sent what it sends in that time."""
        self.traffic.wait_for(self.traffic.accepted + int(seconds * self.traffic.rate))

    def end(self) -> None:
        """End what still runs."""
        for one in self._started:
            one.end()


@contextmanager
def bed(
    kind: type[Scenario],
    broker: ProxiedPulsar,
    directory: Path,
    chance: random.Random,
    *,
    control: bool = False,
    mutant: str | None = None,
) -> Iterator[Bed]:
    """A stage for a scenario of that *kind*, with its traffic running and a bridge at work."""
    directory.mkdir(parents=True)
    topic = f"persistent://public/default/{directory.name}"
    with ExactValkey(directory / "valkey") as server, broker.networks(server) as networks:
        scenario = kind(Servers(server, broker, topic))
        with broker.turn():
            permit(broker, scenario.servers.role)
            scenario.prepare()
        traffic = scenario.traffic(scenario.naive_rate if control else scenario.rate)
        stage = Bed(scenario, traffic, networks, directory, chance, control=control, mutant=mutant)
        try:
            with broker.heard(stage.hear):
                yield stage
        finally:
            stage.end()
