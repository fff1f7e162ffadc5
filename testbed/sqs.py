"""Amazon SQS on loopback: moto's server, which keeps its queues in memory."""

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from testbed.loopback import HOST, LoopbackServer, free_ports


class SQS(LoopbackServer):
    """An SQS of its own, as `with SQS(directory) as server:`; it takes any credentials."""

    name = "sqs"
    start_seconds = 60.0
    stop_seconds = 5.0
    region = "eu-central-1"
    access_key_id = "AKIAEXAMPLE"
    secret_access_key = "secret/with+odd=signs"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_ports(1)[0]

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        """The server of the package that is installed beside this Python."""
        return [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(self.port)]

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False
