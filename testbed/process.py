"""Processes of the test bed, recorded on disk so that a later run can end what a crashed one left.

A record is written by the process itself before it becomes the program it is to run, so there is no
moment in which a process exists without its record. It names the process by id *and* start time (and
the machine's boot), so that a process id that the system gave to someone else is never signalled.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

RECORD_AND_BECOME = 'cat "/proc/$$/stat" /proc/sys/kernel/random/boot_id >"$0" && exec "$@"'


def state_folder() -> Path:
    """Where this machine's running state is kept; apart from the cache, gone after `testbed down`."""
    return Path("/run/headrace") if os.geteuid() == 0 else Path(f"/tmp/headrace-{os.geteuid()}")


def wait_until(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    """Wait until `condition` holds; TimeoutError with the text `failure` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(failure)
        time.sleep(0.02)


@dataclass(frozen=True)
class Identity:
    """One process of this machine: its id alone may be reused, with its start time it may not."""

    process_id: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, process_id: int) -> Self | None:
        """Return the identity of a living process; None when it is gone or only waits to be reaped."""
        try:
            stat = Path(f"/proc/{process_id}/stat").read_text()
        except OSError:
            return None
        identity = cls.parse(stat + Path("/proc/sys/kernel/random/boot_id").read_text())
        state = stat.rpartition(")")[2].split()[0]
        return identity if state not in "ZX" else None

    @classmethod
    def parse(cls, record: str) -> Self | None:
        """Read a record (a /proc/PID/stat line and the boot id); None when it is incomplete."""
        stat, _, boot = record.strip().rpartition("\n")
        process_id = stat.partition(" ")[0]
        # proc(5): after the command in brackets come field 3 and on; the start time is field 22
        fields = stat.rpartition(")")[2].split()
        if not process_id.isdecimal() or len(fields) < 20:
            return None
        return cls(int(process_id), int(fields[19]), boot)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process_id, os.WNOHANG)
        return Identity.of(self.process_id) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens when it is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process_id, number)

    def end(self, grace_seconds: float) -> None:
        """End the process politely, and after `grace_seconds` at once; return when it is gone."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            wait_until(lambda: not self.alive(), grace_seconds, "")
        except TimeoutError:
            self.signal(signal.SIGKILL)
            wait_until(lambda: not self.alive(), 10, f"process {self.process_id} does not end by SIGKILL")


@dataclass(frozen=True)
class Recorded:
    """A process this test bed started, now or in an earlier run."""

    name: str
    record: Path
    identity: Identity

    def end(self, grace_seconds: float = 10) -> None:
        """End it and forget its record."""
        self.identity.end(grace_seconds)
        self.record.unlink(missing_ok=True)


def start(
    name: str,
    arguments: Sequence[str | Path],
    *,
    records: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Recorded:
    """Start a process in a session of its own, its output going to `log`, its record to `records/name`.

    Raises FileNotFoundError when the program does not exist.
    """
    records.mkdir(parents=True, exist_ok=True)
    record = records / name
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", RECORD_AND_BECOME, record, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    identity = Identity.of(process.pid)
    # The child is known by its identity from here on; Popen's own bookkeeping would only warn about it.
    process.returncode = 0
    if identity is None:
        raise ChildProcessError(f"{name} ended at once, see {log}")
    return Recorded(name, record, identity)


def recorded(records: Path) -> Iterator[Recorded]:
    """The living processes recorded in a folder; records of ended ones are removed on the way."""
    for record in sorted(records.glob("*")):
        identity = Identity.parse(record.read_text())
        if identity is not None and identity.alive():
            yield Recorded(record.name, record, identity)
        else:
            record.unlink(missing_ok=True)


def own_records() -> Path:
    """The folder for processes that must not outlive this Python process."""
    identity = Identity.of(os.getpid())
    if identity is None:
        raise ProcessLookupError("this process is not in /proc: is /proc mounted?")
    return state_folder() / "owned" / f"{identity.process_id}-{identity.start_ticks}-{identity.boot}"


def orphans() -> Iterator[Recorded]:
    """Processes whose Python process (a test run, a demo) has ended without ending them."""
    for folder in sorted((state_folder() / "owned").glob("*-*-*")):
        process_id, ticks, boot = folder.name.split("-", 2)
        if not Identity(int(process_id), int(ticks), boot).alive():
            yield from recorded(folder)
            with contextlib.suppress(OSError):
                folder.rmdir()
