"""Debian packages: installed when a program is missing, or only unpacked where installing starts services."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed import cache
from testbed.progress import step

# Debian keeps some programs where an ordinary user's PATH does not look.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str) -> Path | None:
    """Return the path of a program on PATH or in the system's folders; None when there is none."""
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
    return Path(found) if found else None


def require(packages_of_programs: Mapping[str, str]) -> None:
    """Install the Debian packages of those programs (program -> package) that are missing.

    A program given as an absolute path is looked for right there. Raises RuntimeError with one line that
    says what to install where this process may not install it (not root, or not Debian).
    """
    missing = sorted({package for program, package in packages_of_programs.items() if not find_program(program)})
    if missing:
        _check_installable(missing)
        with cache.lock("debian"), step(f"installing Debian packages: {' '.join(missing)}"):
            _apt("update", "--quiet")
            _apt("install", "--quiet", "--yes", "--no-install-recommends", *missing)


def unpacked(package: str, program: str) -> Path:
    """Return the program `program` (a path below /) of a Debian package without installing the package.

    Used for etcd, containerd and Prometheus: installing them would also start them as services.
    An installed one is taken as it is. Raises RuntimeError as `require` does.
    """
    installed = find_program(Path(program).name)
    if installed is not None:
        return installed
    return cache.artefact(f"debian-{package}", lambda target: unpack([package], target)) / program


def unpack(packages: Sequence[str], target: Path) -> None:
    """Unpack Debian packages, without what they depend on, into the folder *target*. Raises RuntimeError."""
    _check_installable([*packages])
    with cache.lock("debian"), step(f"unpacking Debian package {packages[0]}"):
        _apt("update", "--quiet")
        with tempfile.TemporaryDirectory() as scratch:
            _apt("download", "--quiet", *packages, folder=scratch)
            for archive in Path(scratch).glob("*.deb"):
                subprocess.run(["dpkg", "-x", archive, target], check=True)


def _check_installable(packages: list[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError(f"please install, as root: apt-get install {' '.join(packages)}")


def _apt(command: str, *arguments: str, folder: str | None = None) -> None:
    outcome = subprocess.run(
        ["apt-get", command, *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if outcome.returncode != 0:
        raise RuntimeError(f"apt-get {command} {' '.join(arguments)} failed: {outcome.stderr.strip()}")
