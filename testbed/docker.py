"""Images built by Docker, for the cluster that kind runs; it cannot be tried where there is no Docker engine."""

import functools
import json
import subprocess
from pathlib import Path

from testbed import debian
from testbed.image_archive import CONTENT_LABEL
from testbed.image_builder import PYTHON_BASE
from testbed.progress import step


@functools.cache
def kind_is_usable() -> bool:
    """Whether `kind` is on PATH and a Docker engine answers."""
    if debian.find_program("kind") is None or debian.find_program("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


class Docker:
    """Builds as `ImageBuilder` does, on the official Python image."""

    def content(self, name: str) -> str | None:
        """The hash of what image `name` was built from; None when it is not built."""
        outcome = self._outcome("image", "inspect", name)
        if outcome.returncode != 0:
            return None
        labels = json.loads(outcome.stdout)[0]["Config"].get("Labels") or {}
        return labels.get(CONTENT_LABEL)

    def build(self, name: str, dockerfile: Path, context: Path, content: str, *options: str) -> None:
        """Build image `name` unless it is there with this content hash. Raises RuntimeError with the last lines."""
        if self.content(name) == content:
            return
        label = f"--label={CONTENT_LABEL}={content}"
        with step(f"building image {name.removeprefix('localhost/')}"):
            outcome = self._outcome("build", f"--tag={name}", f"--file={dockerfile}", label, *options, str(context))
        if outcome.returncode != 0:
            raise RuntimeError(f"docker build failed:\n{outcome.stderr[-3000:]}")

    def base(self, name: str) -> str:
        """The official image that takes the place of a base made of Debian packages."""
        if name != PYTHON_BASE:
            raise RuntimeError(f"with Docker, no image is built on {name}: the official ones are used")
        return "python:3.12-slim"

    def write_archive(self, name: str, archive: Path) -> None:
        """Write image `name` as a docker-archive."""
        if self._outcome("save", f"--output={archive}", name).returncode != 0:
            raise RuntimeError(f"docker cannot save image {name}")

    def _outcome(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
