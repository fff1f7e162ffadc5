"""The cluster's own namespaces for network and mounts, and its own branch of cgroups.

One process holds the namespaces; all of the cluster runs in them. So network devices, packet filter rules and
mounts (of containers, volumes, Secrets) never appear on the machine, and end with the cluster's processes.
The mounts also mark these processes: each of them has mounts out of our data folder, which no process outside
can have; containers, which have their own mounts, are known by their cgroup.
"""

import shlex
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from testbed import process
from testbed.layout import CGROUP, COVERED, DATA, LOGS, RECORDS

CGROUP_ROOT = Path("/sys/fs/cgroup")
# What kubelet wants in its branch of cgroup version 2.
CONTROLLERS = frozenset({"cpu", "cpuset", "hugetlb", "io", "memory", "pids"})
HOLDER = "namespaces"
MADE_FOLDERS = DATA / "made-folders"
# the program `mount` makes it, even when it has nothing to write there
MOUNT_TOOL_FOLDER = Path("/run/mount")
# Not a whole path: /proc/PID/mountinfo tells folders from the root of the disk they are on.
MARK = f"/{DATA.name}/covered/"


def create() -> process.Recorded:
    """Start the process that holds the namespaces, with the covered folders in place."""
    _remember_missing([*COVERED, MOUNT_TOOL_FOLDER])
    lines = ["mount -n --make-rshared /"]
    for covered, ours in COVERED.items():
        ours.mkdir(parents=True, exist_ok=True)
        covered.mkdir(parents=True, exist_ok=True)
        lines.append(f"mount -n --bind {shlex.quote(str(ours))} {shlex.quote(str(covered))}")
    ready = DATA / "namespaces-ready"
    ready.unlink(missing_ok=True)
    lines.append(f"touch {shlex.quote(str(ready))}")
    lines.append("exec sleep infinity")
    holder = process.start(
        HOLDER,
        ["unshare", "--net", "--mount", "--propagation", "slave", "sh", "-ec", "\n".join(lines)],
        records=RECORDS,
        log=LOGS / f"{HOLDER}.log",
    )
    process.wait_until(ready.exists, 10, f"no namespaces, see {LOGS / HOLDER}.log")
    return holder


def enter(holder: process.Recorded) -> list[str]:
    """The words that run a command inside the namespaces."""
    # not `ip netns exec`: it remounts /sys, and kubelet then misses the cgroups
    return ["nsenter", f"--target={holder.identity.process_id}", "--net", "--mount"]


def uncover() -> None:
    """Remove the mount points that were not there before, if nobody put something there since."""
    for folder in mount_points():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def mount_points() -> list[Path]:
    """The folders outside our own that exist only because of us."""
    if not MADE_FOLDERS.exists():
        return []
    return [Path(line) for line in MADE_FOLDERS.read_text().splitlines() if Path(line).exists()]


def _remember_missing(folders: list[Path]) -> None:
    missing = [str(folder) for folder in folders if not folder.exists()]
    MADE_FOLDERS.write_text("\n".join(missing))


def inside() -> Iterator[process.Identity]:
    """All living processes of the cluster: daemons, shims, containers."""
    in_cgroups = {
        line
        for branch in cgroup_branches()
        for file in branch.rglob("cgroup.procs")
        for line in file.read_text().split()
    }
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                mounts = (entry / "mountinfo").read_text(errors="replace")
            except OSError:
                continue
            ours = MARK in mounts or entry.name in in_cgroups
            identity = process.Identity.of(int(entry.name)) if ours else None
            if identity is not None:
                yield identity


def create_cgroups() -> None:
    """Make our branch in each cgroup hierarchy: kubelet keeps its pods below it.

    With cgroup version 2 the controllers that kubelet asks for are switched on for the machine's branches, as any
    kubelet does; they stay on.
    """
    for hierarchy in _hierarchies():
        _switch_controllers_on(hierarchy)
        branch = hierarchy / CGROUP
        branch.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # cgroup v1: a branch without processors takes no process
            inherited = hierarchy / setting
            if inherited.exists() and not (branch / setting).read_text().strip():
                (branch / setting).write_text(inherited.read_text())


def _switch_controllers_on(hierarchy: Path) -> None:
    switch = hierarchy / "cgroup.subtree_control"
    if switch.exists():
        offered = (hierarchy / "cgroup.controllers").read_text().split()
        for controller in CONTROLLERS.intersection(offered):
            switch.write_text(f"+{controller}")


def cgroup_branches() -> list[Path]:
    """Our branch of each hierarchy, where it exists."""
    branches = [hierarchy / CGROUP for hierarchy in _hierarchies()]
    return [branch for branch in branches if branch.is_dir()]


def remove_cgroups() -> None:
    """Remove our branches; the processes in them must have ended."""
    found: list[Path] = []
    for branch in cgroup_branches():
        found += [branch, *(path for path in branch.rglob("*") if path.is_dir())]
    for path in sorted(found, key=lambda path: len(path.parts), reverse=True):
        process.wait_until(partial(_removed, path), 10, f"cgroup {path} is still in use")


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _hierarchies() -> list[Path]:
    """The places where cgroups are made: one for version 2, one per controller for version 1, or all of these."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [CGROUP_ROOT]
    mounts = subprocess.run(
        ["findmnt", "--noheadings", "--output", "TARGET", "--types", "cgroup,cgroup2"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [Path(line.strip()) for line in mounts.stdout.splitlines() if line.strip()]
