"""What Valkey may refuse to anybody while everything runs: full, read-only, busy, a key of another type."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import valkey

from tests.faults.bed import Bed
from tests.faults.deaths import Strike
from tests.faults.network import PATIENCE_SECONDS
from tests.faults.scenario import LIST, PREFIX
from tests.faults.telling import Fits, await_trouble, has_bridge, hold
from tests.integration.dataplane import wait_for

NOBODY = ("127.0.0.1", "1")
"""A server that is not there."""
SECONDS_BEFORE_BUSY = 0.1
NEVER_SECONDS = 100_000
"""No snapshot is made by itself so soon."""


def configured(words: str, **settings: str) -> Strike:
    """Valkey has other *settings* for a while, and refuses with *words*."""

    def strike(bed: Bed) -> None:
        await_trouble(bed)
        with bed.servers.valkey.client() as client:
            names = {name: name.replace("_", "-") for name in settings}
            before = {name: client.config_get(names[name])[names[name]] for name in settings}
            for name, value in settings.items():
                client.config_set(names[name], value)
            try:
                hold(bed, words)
            finally:
                for name, value in before.items():
                    client.config_set(names[name], value)

    return strike


def read_only(bed: Bed) -> None:
    """Valkey is made a replica of one that is not there, and a primary again: what it holds stays."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client:
        client.replicaof(*NOBODY)
        try:
            hold(bed, r"READONLY|read.only")
        finally:
            client.replicaof("NO", "ONE")


def busy(bed: Bed) -> None:
    """Somebody's script runs for ever, and Valkey answers everybody else that it is busy; then it is killed."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client, _endless_script(bed):
        try:
            hold(bed, r"BUSY|Timeout|timed out")
        finally:
            client.script_kill()


def disk_failing(bed: Bed) -> None:
    """Valkey cannot write a snapshot, for something is in the way, and takes no writes; then it can."""
    await_trouble(bed)
    obstacle = bed.servers.valkey.directory / "dump.rdb"
    obstacle.unlink(missing_ok=True)
    (obstacle / "in the way").mkdir(parents=True)
    with bed.servers.valkey.client() as client:
        client.config_set("save", f"{NEVER_SECONDS} 1")
        try:
            _snapshot(client, "err")
            hold(bed, r"MISCONF")
        finally:
            shutil.rmtree(obstacle)
            _snapshot(client, "ok")
            client.config_set("save", "")


def _snapshot(client: Any, outcome: str) -> None:
    """Let it try until the *outcome* is that."""

    def tried() -> bool:
        state = client.info("persistence")
        if state["rdb_bgsave_in_progress"] or state["aof_rewrite_in_progress"]:
            return False
        if state["rdb_last_bgsave_status"] == outcome:
            return True
        client.bgsave()
        return False

    wait_for(tried, f"the snapshot is {outcome}", PATIENCE_SECONDS)


@contextmanager
def _endless_script(bed: Bed) -> Iterator[None]:
    def run() -> None:
        with bed.servers.valkey.client() as client, suppress(valkey.ValkeyError):
            client.config_set("busy-reply-threshold", int(SECONDS_BEFORE_BUSY * 1000))
            client.eval("while true do end", 0)

    running = threading.Thread(target=run)
    running.start()
    time.sleep(3 * SECONDS_BEFORE_BUSY)
    try:
        yield
    finally:
        running.join()


def scripts_forgotten(bed: Bed) -> None:
    """Valkey forgets all scripts."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client:
        client.script_flush()


def other_type(key: str = "") -> Strike:
    """*key*, or one that is there, holds another type for a while; what it held is put aside and comes back. A string
    would be overwritten."""

    def strike(bed: Bed) -> None:
        await_trouble(bed)
        with bed.servers.valkey.client() as client:
            present = [name for name in sorted(client.scan_iter(match="*")) if name == LIST or name.startswith(PREFIX)]
            chosen = key or bed.chance.choice([name for name in present if client.type(name) != "string"])
            bed.remark(chosen.removeprefix(PREFIX))
            aside = f"aside:{chosen}"
            _atomically(client, lambda pipe: pipe.rename(chosen, aside).set(chosen, "something else"))
            try:
                hold(bed, r"WRONGTYPE|is a string")
            finally:
                _atomically(client, lambda pipe: pipe.delete(chosen).rename(aside, chosen))

    return strike


def _atomically(client: valkey.Valkey, commands: Callable[[Any], object]) -> None:
    pipe: Any
    with client.pipeline(transaction=True) as pipe:
        commands(pipe)
        pipe.execute()


REFUSALS: dict[str, tuple[Strike, Fits]] = {
    "Valkey full": (configured("OOM|OutOfMemory|full|maxmemory", maxmemory="1"), has_bridge),
    "Valkey without enough replicas": (
        configured("NOREPLICAS|replicas", min_replicas_to_write="1"),
        has_bridge,
    ),
    "Valkey read-only": (read_only, has_bridge),
    "Valkey busy": (busy, has_bridge),
    "Valkey's disk failing": (disk_failing, has_bridge),
    "Valkey's scripts forgotten": (scripts_forgotten, has_bridge),
    "a key of another type": (other_type(), has_bridge),
}
