"""``python -m tests.upstream``: kombu's and Celery's own tests of Redis, run against Headrace's transport and results.

Their sources come from the package index by version and hash and stay in the cache folder; nothing of them is in this
repository. What does not apply is skipped by name, with its reason: ``tests/upstream/skips.py``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed import cache
from testbed.progress import say, step
from testbed.valkey import Valkey

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "sources.txt"


@dataclass(frozen=True)
class Suite:
    """Some of a project's test files."""

    name: str
    project: str
    files: tuple[str, ...]


SUITES = (
    Suite("kombu-unit", "kombu", ("t/unit/transport/test_redis.py",)),
    Suite("kombu-integration", "kombu", ("t/integration/test_redis.py",)),
    Suite("celery-unit", "celery", ("t/unit/backends/test_redis.py",)),
    Suite(
        "celery-integration",
        "celery",
        tuple(
            f"t/integration/test_{name}.py" for name in ("redis_backend", "tasks", "group_chains", "inspect", "canvas")
        ),
    ),
)


def main() -> int:
    """Run the suites that are named, or all; returns 1 when a test failed."""
    parser = argparse.ArgumentParser(prog="make test-kombu", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suite.name for suite in SUITES)}")
    parser.add_argument("-k", dest="chosen", default="", help="run the tests whose names match, as pytest's -k does")
    parser.add_argument(
        "--stock", action="store_true", help="run kombu's transport and Celery's backend instead of ours"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-upstream-") as folder:
        _unpack(Path(folder))
        wanted = [suite for suite in SUITES if not options.suites or suite.name in options.suites]
        failed = [suite.name for suite in wanted if not _run(suite, Path(folder), options.chosen, options.stock)]
    say(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def _unpack(folder: Path) -> None:
    """Put the test folders of both projects into *folder*; their packages are those that are installed."""
    downloads = cache.root() / "upstream"
    found = list(downloads.glob("*.tar.gz")) if downloads.exists() else []
    if {path.name for path in found} != {f"{name}.tar.gz" for name in _versions()}:
        with step("getting the sources of kombu and Celery"):
            options = ("--require-hashes", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet")
            where = ("--dest", str(downloads), "--requirement", str(SOURCES))
            subprocess.run([sys.executable, "-m", "pip", "download", *options, *where], check=True)
    for name in _versions():
        with tarfile.open(downloads / f"{name}.tar.gz") as archive:
            tests = [member for member in archive if member.name.startswith(f"{name}/t/")]
            archive.extractall(folder, members=tests, filter="data")
        (folder / name).rename(folder / name.partition("-")[0])


def _versions() -> Iterable[str]:
    return [line.split()[0].replace("==", "-") for line in SOURCES.read_text().splitlines()]


def _run(suite: Suite, folder: Path, chosen: str, stock: bool) -> bool:
    say(f"[bold]{suite.name}[/]")
    with Valkey(folder / f"valkey-{suite.name}") as server:
        address = f"{server.host}:{server.port}"
        scheme = "redis" if stock else "valkey"
        variables = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}:.",
            "HEADRACE_UPSTREAM": "" if stock else suite.name,
            "REDIS_HOST": server.host,
            "REDIS_PORT": str(server.port),
            "REDIS_6379_TCP": str(server.port),
            "TEST_BROKER": f"{scheme}://{address}/0",
            "TEST_BACKEND": f"redis://{address}/0",  # some tests look for this scheme, which the plugin makes ours
        }
        plugins = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.upstream.plugin"]
        if suite.name == "celery-integration":
            plugins += ["-p", "celery.contrib.pytest"]
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-W", "ignore", "--tb=short", *plugins]
        command += ["-o", "python_classes=test_*"]
        command += ["-k", chosen] if chosen else []
        done = subprocess.run([*command, *suite.files], cwd=folder / suite.project, env=variables, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
