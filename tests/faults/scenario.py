"""A way through the bridge that is put to the test: where its messages come from, and what is at the end.

To add one: a subclass of `Scenario`, and its name in `catalogue.py`; all faults and counts follow.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from testbed.loopback import HOST
from testbed.valkey import Valkey
from tests.faults import naive
from tests.faults.network import PATIENCE_SECONDS, Network, ProxiedPulsar
from tests.faults.traffic import Traffic
from tests.faults.verdict import Found, Ledger
from tests.integration.dataplane import Headrace, resource, wait_for
from tests.integration.pulsar_tokens import token

NAME = "crash"
PREFIX = f"headrace:{{test/{NAME}}}"
LIST = "messages"
BEHIND = 300
"""A bridge that has fewer messages than this before it has caught up."""


@dataclass(frozen=True)
class Point:
    """A moment in the bridge's work, by a call at which it is killed or stopped: see `tests.integration.deadly`."""

    call: str
    """``module:Class.method``, with ``@before`` for its beginning."""
    most: int
    """It comes at the call of a random number, this one at most."""


@dataclass(frozen=True)
class Servers:
    """What one run has for itself, but for the Pulsar, which runs share."""

    valkey: Valkey
    pulsar: ProxiedPulsar
    topic: str

    @property
    def role(self) -> str:
        """Of the run's bridges at Pulsar."""
        return self.topic.rpartition("/")[2]

    @property
    def secrets(self) -> dict[str, str]:
        """What the run's bridges have below their folder of secrets."""
        return {"pulsar/token": token(self.role)}


class Scenario(ABC):
    """One direction, with its messages."""

    command: ClassVar[str] = "bridge"
    """What of Headrace is killed on the way."""
    rate: ClassVar[int] = 500
    naive_rate: ClassVar[int] = 50
    """Messages a second. What is naive moves one at a time."""
    sides: ClassVar[frozenset[str]] = frozenset({"Valkey", "Pulsar"})
    """The servers that it needs."""
    deaths: ClassVar[Mapping[str, Callable[[Any], None]]] = {}
    """Faults that are this scenario's own, beside those of all."""

    points: Mapping[str, Point]
    """The steps of the work."""
    leased: bool
    """Whether a lease in Valkey says which replica works. Otherwise Pulsar chooses the consumer."""
    naive_points: Mapping[str, Point]
    """The same for the control."""
    control: ClassVar[str] = ""
    """The scenario whose control is this one's, too; its own when empty."""
    naive_faults: ClassVar[tuple[str, ...]] = ()
    """What befalls the control, in turn; killed at each of its steps when empty."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.ledger = Ledger()
        self.uid = 1
        """Of the resource, which can be deleted and made anew."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before the bridge."""

    def works(self, one: Headrace) -> bool:
        """Whether a process that was started is at work."""
        return "moving to" in one.log()

    def moves(self, one: Headrace) -> bool:
        """Whether a process has moved something."""
        return one.metric("headrace_bridge_forwarded_total") > 0

    def gave_in(self, one: Headrace, said: int) -> bool:
        """Whether *one*, which came back, has noticed that it was replaced; its log was *said* long before."""
        return re.search("another replica|another works", one.log()[said:]) is not None

    def owners(self) -> set[str]:
        """Who may move messages just now, as far as Valkey knows."""
        with self.servers.valkey.client() as client:
            owner: str | None = client.get(f"{PREFIX}:owner")
        return {owner} if owner else set()

    def dispossess(self, owners: set[str]) -> None:
        """Wait until none of *owners*, who cannot do anything now, may move messages any more."""
        self.end_lease()
        wait_for(lambda: not self.owners() & owners, "another replica takes over", PATIENCE_SECONDS)

    def end_lease(self) -> None:
        """Let a lease end now instead of after six seconds, which changes nothing but the time."""
        with self.servers.valkey.client() as client:
            client.delete(f"{PREFIX}:lease")

    @abstractmethod
    def document(self, network: Network) -> dict[str, Any]:
        """The PulsarBridge, as a replica on *network* reads it."""

    def start_naive(self, document: dict[str, Any], directory: Path, point: str | None) -> Headrace:
        """Start the control on *document*, which dies at *point*."""
        return naive.start(document, directory, point)

    @abstractmethod
    def traffic(self, rate: int) -> Traffic:
        """The producer."""

    @abstractmethod
    def behind(self, accepted: int) -> int:
        """How many of the *accepted* messages are not at the end yet, about."""

    @abstractmethod
    def drained(self) -> bool:
        """Whether the bridge has nothing left to do."""

    @abstractmethod
    def found(self) -> list[Found]:
        """What is at the end, each group in the order of a consumer."""

    def _bridge(self, network: Network, source: dict[str, Any], sink: dict[str, Any]) -> dict[str, Any]:
        service_url = f"pulsar://{HOST}:{network.pulsar.port}"
        pulsar = {
            "serviceUrl": service_url,
            "adminUrl": f"http://{HOST}:{network.admin.port}",
            "auth": {"tokenSecretRef": {"name": "pulsar", "key": "token"}},
        }
        valkey = {"url": f"valkey://{HOST}:{network.valkey.port}/0"}
        spec = {"source": source, "sink": sink, "valkey": valkey, "pulsar": pulsar}
        document = resource("PulsarBridge", NAME, spec)
        document["metadata"]["uid"] = str(self.uid)
        return document
