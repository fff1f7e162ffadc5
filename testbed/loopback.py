"""What the servers on loopback (Valkey, Pulsar) share: start, wait, stop, kill, freeze, restart."""

import random
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from testbed import process

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback address that nobody listens on, and that nobody was given before.

    They lie where the kernel takes no ports for outgoing connections and Kubernetes none for services: whoever listens
    on one finds it free again after a restart.
    """
    found: list[int] = []
    while len(found) < count:
        port = _chance.choice(_PORTS)
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    return found


_PORTS = range(16_000, 30_000)
_chance = random.SystemRandom()
_given: set[int] = set()


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


class LoopbackServer(ABC):
    """One server process on 127.0.0.1 with its data in a folder; it keeps its ports over a restart."""

    name: ClassVar[str]
    start_seconds: ClassVar[float]
    stop_seconds: ClassVar[float]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / f"{self.name}.log"
        self._process: process.Recorded | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers; False while it does not yet."""

    def environment(self) -> dict[str, str]:
        """Variables the server needs on top of this process's own."""
        return {}

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Raises TimeoutError when it does not within `start_seconds`, ChildProcessError when it ends
        before; both name its log.
        """
        if self._process is not None:
            raise RuntimeError(f"{self.name} is started already")
        self.directory.mkdir(parents=True, exist_ok=True)
        port_hint = abs(hash(self.directory)) % 10**8
        self._process = process.start(
            f"{self.name}-{port_hint}",
            self.command(),
            records=process.own_records(),
            log=self.log,
            environment=self.environment(),
        )
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def wait_until_ready(self) -> None:
        """Wait until the server answers; errors as for `start`."""
        deadline = time.monotonic() + self.start_seconds
        while not self.ready():
            if self._process is None or not self._process.identity.alive():
                raise ChildProcessError(f"{self.name} ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name} does not answer after {self.start_seconds:.0f} s: {self._last_words()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask the server to end, and end it when it does not; a stopped one stays stopped."""
        if self._process is not None:
            self._process.end(self.stop_seconds)
            self._process = None

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.end(0)
            self._process = None

    def restart(self) -> None:
        """Stop (when it runs) and start again, same ports, same data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the server from running without ending it (SIGSTOP): connections hang."""
        if self._process is not None:
            self._process.identity.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server run on."""
        if self._process is not None:
            self._process.identity.signal(signal.SIGCONT)

    @property
    def process_id(self) -> int | None:
        """The server's process id; None while it is stopped."""
        return self._process.identity.process_id if self._process else None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(lines[-5:]) + f" (all of it: {self.log})"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
