"""What the tests of readiness share: within ten seconds of a fault a process says what is wrong, and of its end that it
is well again."""

import time

from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, wait_for

SECONDS = 10.0
SAMPLES = 20
"""How often it is looked, a tenth of a second apart, whether what is broken stays so."""


def await_trouble(process: Headrace, *words: str, seconds: float = SECONDS) -> str:
    """Wait until it is not ready and one line of its page has all *words*, and see it stay so; returns the page."""
    pages: list[tuple[int, str]] = []

    def told() -> bool:
        pages.append(process.get("/readyz"))
        status, page = pages[-1]
        return status == 503 and any(all(word in line for word in words) for line in page.splitlines())

    wait_for(told, f"{process.directory.name} says {words}", seconds)
    for _ in range(SAMPLES):
        status, page = process.get("/readyz")
        assert status == 503, page
        time.sleep(0.1)
    assert process.get("/livez")[0] == 200
    return pages[-1][1]


def await_recovery(process: Headrace, seconds: float = SECONDS) -> None:
    """Wait until it is ready, and see it stay ready."""
    wait_for(lambda: process.get("/readyz")[0] == 200, f"{process.directory.name} is ready again", seconds)
    for _ in range(SAMPLES):
        assert process.get("/readyz") == (200, "ok\n")
        time.sleep(0.1)


def allow(valkey: Valkey, *rules: str) -> None:
    """Give the user of the bridge or worker these rights, or take them."""
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", USER, *rules)


USER, PASSWORD = "mover-7", "a-password-of-this-test-bed"
SECRETS = {"valkey/username": USER, "valkey/password": PASSWORD}
AUTH = {"secretRef": {"name": "valkey"}}
ALL = ("on", f">{PASSWORD}", "~*", "&*", "+@all")
