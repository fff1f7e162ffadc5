"""A way through the bridge that is put to the test: where its messages come from, and what is at the end.

To add one: a subclass of `Scenario`, and its name in `catalogue.py`; all faults and counts follow.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbed.loopback import HOST
from testbed.valkey import Valkey
from tests.faults.network import Network, ProxiedPulsar
from tests.faults.traffic import Traffic
from tests.faults.verdict import Found
from tests.integration.dataplane import resource

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


class Scenario(ABC):
    """One direction, with its messages."""

    points: Mapping[str, Point]
    """The steps of the work."""
    leased: bool
    """Whether a lease in Valkey says which replica works. Otherwise Pulsar chooses the consumer."""
    naive_points: Mapping[str, Point]
    """The same for the control."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    @abstractmethod
    def prepare(self) -> None:
        """Make the topics."""

    @abstractmethod
    def document(self, network: Network) -> dict[str, Any]:
        """The PulsarBridge, as a replica on *network* reads it."""

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
        pulsar = {"serviceUrl": service_url, "adminUrl": self.servers.pulsar.admin_url}
        valkey = {"url": f"valkey://{HOST}:{network.valkey.port}/0"}
        return resource("PulsarBridge", NAME, {"source": source, "sink": sink, "valkey": valkey, "pulsar": pulsar})
