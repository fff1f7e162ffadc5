"""The run of a replay, as Valkey has it."""

from testbed.valkey import Valkey
from tests.integration.dataplane import wait_for

PREFIX = "headrace:{test/orders}"
RUN = "headrace.bridge.replay_run:RunStore"


def run(valkey: Valkey, name: str = "a") -> dict[str, str]:
    with valkey.client() as client:
        found: dict[str, str] = client.hgetall(f"{PREFIX}:replay:{name}")
    return found


def counts(valkey: Valkey, name: str = "a") -> tuple[int, int, int, int]:
    """Matched, replayed, skipped, failed."""
    fields = run(valkey, name)
    return tuple(int(fields[each]) for each in ("matched", "replayed", "skipped", "failed"))  # type: ignore[return-value]


def end_leases(valkey: Valkey) -> None:
    """As time would, some seconds after a kill."""
    with valkey.client() as client:
        for key in client.keys("*:lease"):
            client.delete(key)


def wait_for_phase(valkey: Valkey, phase: str, name: str = "a") -> None:
    wait_for(lambda: run(valkey, name).get("phase") == phase, f"the run is {phase}: {run(valkey, name)}", 60)
