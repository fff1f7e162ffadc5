"""How far a run is, seen from outside: counts in Valkey, CPU and memory in ``/proc``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.005
"""How often it is looked: what a window may be off by, against runs of seconds."""


@dataclass(frozen=True)
class Sample:
    """What one run gave."""

    rate: float
    """Messages a second."""
    cpu: float
    """Microseconds of the process's CPU time a message, user and system, all its threads."""
    peak: float = 0.0
    """Greatest resident memory of the process in MiB (``VmHWM``); 0 when nobody asked."""


def cpu_seconds(*process_ids: int) -> float:
    """CPU time that processes used so far."""
    return sum(map(_cpu_seconds, process_ids))


def _cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mebibytes(process_id: int) -> float:
    """The greatest resident memory of a process so far."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    [kibibytes] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kibibytes / 1024


def watch(arrived: Callable[[], int], total: int, *process_ids: int, seconds: float = 60.0) -> Sample:
    """Time a run by *arrived*, the number of messages that are where they belong; the processes are its movers.

    The window opens when the first are seen to have arrived and closes when *total* have; those that opened it do not
    count. Raises TimeoutError when that takes longer than *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not (first := arrived()):
        _pause(deadline, 0, total)
    began, cpu = time.monotonic(), cpu_seconds(*process_ids)
    while (last := arrived()) < total:
        _pause(deadline, last, total)
    ended, moved = time.monotonic(), last - first
    peak = max(map(peak_mebibytes, process_ids))
    if moved <= 0:  # a few messages for a look at the memory: they came at once
        return Sample(0.0, 0.0, peak)
    used = cpu_seconds(*process_ids) - cpu
    return Sample(moved / (ended - began), used / moved * 1e6, peak)


def _pause(deadline: float, arrived: int, total: int) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{arrived} of {total} messages have arrived")
    time.sleep(POLL_SECONDS)
