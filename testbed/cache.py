"""The cache folder: whatever is slow to get (binaries, jars, images) is made once and kept by version."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from testbed.progress import say

STAGING_PREFIX = ".staging-"


def root() -> Path:
    """The cache folder, created when missing: `$XDG_CACHE_HOME/headrace`, else `~/.cache/headrace`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "headrace"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name`, waiting for another run that holds it.

    The kernel drops it when the holder ends, however it ends.
    """
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name.replace("/", "-")).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def artefact(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name` of the cache; when it is missing, let `make` fill it first.

    `make` fills a staging folder that gets its name only when it is complete, so that an interrupted
    run never leaves something that looks finished. An error of `make` is raised as it is.
    """
    target = root() / name
    if target.exists():
        return target
    with lock(name):
        if target.exists():
            return target
        remove_unfinished()
        with scratch(name) as staging:
            make(staging)
            staging.rename(target)
    return target


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder beside the artefacts (so on their disk) that is removed at the end, if it is still there."""
    folder = root() / f"{STAGING_PREFIX}{name}-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished() -> None:
    """Remove the scratch folders of processes that have ended."""
    for folder in root().glob(f"{STAGING_PREFIX}*"):
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def content_hash(paths: Iterable[Path], *words: str) -> str:
    """Return 16 hexadecimal digits that change when a file (or a file below a folder) or a word changes."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word}\0".encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(path.parent)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
