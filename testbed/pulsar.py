"""Pulsar on loopback: a real standalone broker, its jars from Maven Central by way of the cache."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from testbed.loopback import HOST, LoopbackServer, free_ports
from testbed.pulsar_jars import pulsar_jars

_TAKEN_AGAIN = b"re-acquired lock at /ledgers/available/"
_ATTEMPTS = 4
IMAGE_SOURCES = Path(__file__).parent / "images" / "pulsar"


class Pulsar(LoopbackServer):
    """A broker of its own, as `with Pulsar(directory) as broker:`; ready in some 5 s, about 1 GB.

    Tenant `public` with namespace `public/default` exists. Topics must be created through the admin API.
    """

    name = "pulsar"
    start_seconds = 300.0
    stop_seconds = 20.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._binary_port, self._http_port, self._bookie_port = free_ports(3)

    @property
    def service_url(self) -> str:
        """For producers and consumers."""
        return f"pulsar://{HOST}:{self._binary_port}"

    @property
    def admin_url(self) -> str:
        """For the admin REST API."""
        return f"http://{HOST}:{self._http_port}"

    def advertised(self) -> str:
        """The part of the configuration that says where clients are told to go."""
        return f"advertisedAddress={HOST}\n"

    def command(self) -> Sequence[str | Path]:
        """The launcher that the image has too, with data and ports of this server."""
        configuration = self.directory / "standalone.conf"
        listening = f"bindAddress={HOST}\nbrokerServicePort={self._binary_port}\nwebServicePort={self._http_port}\n"
        configuration.write_text((IMAGE_SOURCES / "standalone.conf").read_text() + listening + self.advertised())
        return [
            IMAGE_SOURCES / "pulsar",
            "standalone",
            "--no-functions-worker",
            "--no-stream-storage",
            f"--bookkeeper-dir={self.directory / 'bookkeeper'}",
            f"--bookkeeper-port={self._bookie_port}",
            f"--metadata-dir={self.directory / 'metadata'}",
        ]

    def environment(self) -> dict[str, str]:
        """Where the launcher finds jars and configuration, and where Java may write."""
        return {
            "PULSAR_LIB": str(pulsar_jars()),
            "PULSAR_STANDALONE_CONF": str(self.directory / "standalone.conf"),
            "PULSAR_LOG_CONF": str(IMAGE_SOURCES / "log4j2.properties"),
            "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={self.directory}",
        }

    def start(self) -> Self:
        """As any server, and with its bookie registered for good.

        A broker that was killed leaves its bookie's registration behind. Now and then the next one (4.0.7, metadata in
        RocksDB) takes the removal of it for a removal of its own, registers anew, removes what it found, hears of that,
        and so on for ever, hundreds of times a second: "Not enough non-faulty bookies available". An orderly end
        leaves nothing behind, and ends it.
        """
        for _ in range(_ATTEMPTS):
            seen = self.log.stat().st_size if self.log.exists() else 0
            super().start()
            with self.log.open("rb") as log:
                log.seek(seen)
                if log.read().count(_TAKEN_AGAIN) < 10:
                    return self
            self.stop()
        raise ChildProcessError(f"{self.name}'s bookie does not stay registered (the log: {self.log})")

    def ready(self) -> bool:
        """Whether the broker can write and read a message (its own health check) and has `public/default`."""
        return self._answers("/admin/v2/brokers/health") and self._answers("/admin/v2/namespaces/public/default")

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.admin_url + path, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False
