"""RabbitMQ on loopback: the real broker out of Debian's packages, unpacked into the cache and never installed."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from testbed import cache, debian, process
from testbed.loopback import HOST, LoopbackServer, free_ports

PACKAGES = (
    "rabbitmq-server",
    "erlang-asn1",
    "erlang-base",
    "erlang-crypto",
    "erlang-eldap",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
)
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def installation() -> Path:
    """The folder with RabbitMQ and Erlang below it, as Debian lays them out, and `bin/erl` that finds them there."""
    return cache.artefact("rabbitmq", _unpack)


def _unpack(target: Path) -> None:
    debian.unpack(PACKAGES, target)
    launcher = target / "bin" / "erl"
    launcher.parent.mkdir()
    # Debian's own launcher knows /usr/lib/erlang only.
    launcher.write_text(
        "#!/bin/sh\n"
        'export ROOTDIR="$(cd "$(dirname "$0")/.." && pwd)/usr/lib/erlang" EMU=beam PROGNAME=erl\n'
        'export BINDIR="$(echo "$ROOTDIR"/erts-*/bin)"\n'
        'exec "$BINDIR/erlexec" "$@"\n'
    )
    launcher.chmod(0o755)


class RabbitMQ(LoopbackServer):
    """A broker of its own, as `with RabbitMQ(directory) as broker:`; ready in some 6 s, its queues survive `kill`.

    Everything it is (node name, port mapper, data) is of this directory and these ports.
    """

    name = "rabbitmq"
    start_seconds = 60.0
    stop_seconds = 20.0
    username = "rabbit-user"
    password = "rabbit/with:odd@signs"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port, self._distribution_port, self._mapper_port = free_ports(3)
        self._mapper: process.Recorded | None = None

    @property
    def url(self) -> str:
        """The server's URL, without user and password."""
        return f"amqp://{HOST}:{self.port}"

    @property
    def login_url(self) -> str:
        """The URL with user and password, as Celery's producers have it."""
        return f"amqp://{self.username}:{quote(self.password, safe='')}@{HOST}:{self.port}//"

    def start(self) -> Self:
        """As any server, with Erlang's port mapper beside it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._start_mapper()
        return super().start()

    def stop(self) -> None:
        """As any server, and the port mapper after it."""
        super().stop()
        self._end_mapper()

    def kill(self) -> None:
        """As any server, and the port mapper after it."""
        super().kill()
        self._end_mapper()

    def _start_mapper(self) -> None:
        if self._mapper is None:
            [program] = installation().glob("usr/lib/erlang/erts-*/bin/epmd")
            self._mapper = process.start(
                f"epmd-{self._mapper_port}",
                [program, "-port", str(self._mapper_port), "-address", HOST],
                records=process.own_records(),
                log=self.log,
            )

    def _end_mapper(self) -> None:
        if self._mapper is not None:
            self._mapper.end(0)
            self._mapper = None

    def command(self) -> Sequence[str | Path]:
        """RabbitMQ's own launcher, with its configuration in files."""
        (self.directory / "rabbitmq.conf").write_text(
            "\n".join(
                [
                    "loopback_users = none",
                    f"default_user = {self.username}",
                    f"default_pass = {self.password}",
                    "disk_free_limit.absolute = 50MB",
                    "log.console = true",
                    "log.console.level = warning",
                    "",
                ]
            )
        )
        [home] = installation().glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
        return [home / "sbin" / "rabbitmq-server"]

    def environment(self) -> dict[str, str]:
        """Where everything is, so that nothing of this machine's own RabbitMQ or Erlang is used or touched."""
        [home] = installation().glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
        here = self.directory
        return {
            "PATH": f"{installation() / 'bin'}:{os.environ['PATH']}",
            "HOME": str(here),  # Erlang keeps its cookie there
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_HOME": str(home),
            "RABBITMQ_NODENAME": f"headrace{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here),
            "RABBITMQ_CONF_ENV_FILE": str(here / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_ALLOW_INPUT": "1",  # the launcher becomes the server, so a signal reaches it
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def ready(self) -> bool:
        """Whether the broker speaks AMQP."""
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(_PROTOCOL_HEADER)
                return connection.recv(1) == b"\x01"  # a method frame: Connection.Start
        except OSError:
            return False
