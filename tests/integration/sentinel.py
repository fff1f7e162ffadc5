"""Valkey's Sentinel on loopback, and a primary with a replica that it watches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import valkey

from testbed.loopback import HOST, LoopbackServer, free_ports
from testbed.valkey import Valkey, server_binary

NAME = "shop"


class Sentinel(LoopbackServer):
    """Watches *primary* and makes its replica the primary after a second without it."""

    name = "sentinel"
    start_seconds = 20.0
    stop_seconds = 10.0

    def __init__(self, directory: Path, primary: Valkey) -> None:
        super().__init__(directory)
        [self.port] = free_ports(1)
        self._primary = primary

    @property
    def url(self) -> str:
        """Its URL for Celery."""
        return f"valkey-sentinel://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        """`valkey-server --sentinel`; it rewrites its configuration."""
        configuration = self.directory / "sentinel.conf"
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.directory}",
            f"sentinel monitor {NAME} {HOST} {self._primary.port} 1",
            f"sentinel down-after-milliseconds {NAME} 1000",
            f"sentinel failover-timeout {NAME} 5000",
        ]
        configuration.write_text("\n".join(lines) + "\n")
        return [server_binary(), configuration, "--sentinel"]

    def primary_port(self) -> int:
        """The port of the server that it names now."""
        return int(self._ask()["port"])

    def _ask(self) -> dict[str, Any]:
        with valkey.Valkey(host=HOST, port=self.port, decode_responses=True, socket_timeout=5) as client:
            facts: dict[str, Any] = client.sentinel_master(NAME)
            return facts

    def ready(self) -> bool:
        """Whether it knows the primary and its replica."""
        try:
            return int(self._ask()["num-slaves"]) == 1
        except (valkey.ConnectionError, valkey.TimeoutError, valkey.ResponseError):
            return False


def follow(replica: Valkey, primary: Valkey) -> None:
    """Make *replica* one of *primary*."""
    with replica.client() as client:
        client.replicaof(HOST, primary.port)


def in_step(replica: Valkey) -> bool:
    """Whether a replica has all that its primary has."""
    with replica.client() as client:
        return bool(client.info("replication")["master_link_status"] == "up")
