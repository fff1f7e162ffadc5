"""What lies between one replica and the two servers, and a Pulsar that can be reached over it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from testbed.loopback import HOST, free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.integration.pulsar_tokens import guarded

REPLICAS = 2
"""How many replicas of a bridge there are at most, each with a network of its own."""
HARNESS = "harness"
"""The role of producers and the harness itself, who bring no token, and may do everything."""
PATIENCE_SECONDS = 200.0
"""How long a state may take that is sure to come: Pulsar's start takes 5 s, on a busy machine a hundred."""


@dataclass(frozen=True)
class Network:
    """The ways of one replica; everybody else goes straight."""

    valkey: Proxy
    pulsar: Proxy
    admin: Proxy


class ProxiedPulsar(Pulsar):
    """A Pulsar with further ways in, each a proxy, for that many *runs* at a time.

    Clients go where the broker's look-up sends them. So each way is a listener of its own, which answers whoever came
    by it with the address of its proxy. Bridges bring a token, and need a permission.
    """

    start_seconds = PATIENCE_SECONDS

    def __init__(self, directory: Path, runs: int) -> None:
        super().__init__(directory)
        self._listeners = free_ports(runs * REPLICAS)
        self._proxies = [Proxy(port) for port in self._listeners]
        self._free: SimpleQueue[list[Proxy]] = SimpleQueue()
        self._turn = threading.RLock()
        self._audience: list[Callable[[str], None]] = []
        self._stack = ExitStack()

    def advertised(self) -> str:
        """The first listener is for those who go straight."""
        advertised, bound = [f"straight:{self.service_url}"], []
        for number, (port, proxy) in enumerate(zip(self._listeners, self._proxies, strict=True)):
            bound.append(f"way{number}:pulsar://{HOST}:{port}")
            advertised.append(f"way{number}:pulsar://{HOST}:{proxy.port}")
        return guarded(HARNESS) + (
            f"anonymousUserRole={HARNESS}\n"
            # after some time-outs the broker would leave its only bookie alone for half an hour, and make no ledger
            "bookkeeperClientHealthCheckEnabled=false\n"
            f"internalListenerName=straight\nbindAddresses={','.join(bound)}\n"
            f"advertisedListeners={','.join(advertised)}\n"
        )

    @contextmanager
    def networks(self, valkey: Valkey) -> Iterator[list[Network]]:
        """The networks of one run, one for each replica; waits until they are free."""
        proxies = self._free.get()
        try:
            with ExitStack() as stack:
                yield [
                    Network(stack.enter_context(Proxy(valkey.port)), proxy, stack.enter_context(Proxy(self._http_port)))
                    for proxy in proxies
                ]
        finally:
            for proxy in proxies:
                proxy.restore()
            self._free.put(proxies)

    def turn(self) -> threading.RLock:
        """Held by one run at a time: by the one that breaks this server, and by one that cannot do without it."""
        return self._turn

    @contextmanager
    def heard(self, hear: Callable[[str], None]) -> Iterator[None]:
        """Call *hear* with whatever befalls this server by another run."""
        self._audience.append(hear)
        try:
            yield
        finally:
            self._audience.remove(hear)

    def tell(self, what: str, teller: Callable[[str], None]) -> None:
        """Tell all runs but the *teller*'s."""
        for hear in tuple(self._audience):
            if hear != teller:
                hear(what)

    def __enter__(self) -> Self:
        for proxy in self._proxies:
            self._stack.enter_context(proxy)
        for first in range(0, len(self._proxies), REPLICAS):
            self._free.put(self._proxies[first : first + REPLICAS])
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # its data are thrown away, so nothing is worth the five seconds of an orderly end
        self.kill()
        self._stack.close()
