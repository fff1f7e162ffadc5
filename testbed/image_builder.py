"""Images from Dockerfiles without Docker: buildah, its storage inside the cache, base images from Debian packages."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed import cache, debian
from testbed.image_archive import CONTENT_LABEL
from testbed.progress import step

SUITE = "bookworm"
BASES = {
    "localhost/headrace-base-python": ("python3", "python3-venv", "ca-certificates"),
    "localhost/headrace-base-java": ("openjdk-17-jre-headless", "ca-certificates"),
}
PYTHON_BASE, JAVA_BASE = BASES
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# Where buildah notes which registries had which layers, whatever its storage is.
NOTES = (Path("/var/lib/containers/cache"), Path("/var/lib/containers"))
# What pip must know of this machine's network to install anything; nothing of it gets into the image.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout")


class ImageBuilder:
    """Builds with buildah. Everything it does happens in a mount namespace that ends with each command."""

    def __init__(self) -> None:
        debian.require({"buildah": "buildah", "mmdebstrap": "mmdebstrap", "mount": "mount"})

    def content(self, name: str) -> str | None:
        """The hash of what image `name` was built from; None when it is not built."""
        outcome = self._outcome("inspect", "--type=image", name)
        if outcome.returncode != 0:
            return None
        labels = json.loads(outcome.stdout)["OCIv1"].get("config", {}).get("Labels") or {}
        return str(labels[CONTENT_LABEL]) if CONTENT_LABEL in labels else None

    def build(self, name: str, dockerfile: Path, context: Path, content: str, *options: str) -> None:
        """Build image `name` unless it is there with this content hash. Raises RuntimeError with the last lines."""
        with cache.lock("buildah"):
            if self.content(name) != content:
                with step(f"building image {name.removeprefix('localhost/')}"), cache.scratch("pip") as scratch:
                    self._bud(name, dockerfile, context, [f"--label={CONTENT_LABEL}={content}", *options], scratch)

    def base(self, name: str) -> str:
        """Return a base image of Debian packages, made when it is missing."""
        packages = BASES[name]
        tagged = f"{name}:{cache.content_hash([], SUITE, *packages)}"
        with cache.lock(f"base-{name}"):
            if self._outcome("inspect", "--type=image", tagged).returncode != 0:
                with step(f"base image of Debian packages: {' '.join(packages)}"), cache.scratch("base") as scratch:
                    self._bootstrap(packages, scratch / "base.tar")
                    (scratch / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
                    with cache.lock("buildah"):
                        self._bud(tagged, scratch / "Dockerfile", scratch, [], scratch)
        return tagged

    def write_archive(self, name: str, archive: Path) -> None:
        """Write image `name` as a docker-archive."""
        self._run("push", name, f"docker-archive:{archive}:{name}")

    def _bootstrap(self, packages: Sequence[str], archive: Path) -> None:
        include = f"--include={','.join(packages)}"
        # no "man": programs that bring alternatives (a JRE) want its folders
        options = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "info")]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", include, *options, SUITE, str(archive)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if outcome.returncode != 0:
            raise RuntimeError(f"mmdebstrap cannot make a base image: {outcome.stderr[-2000:]}")

    def _bud(self, name: str, dockerfile: Path, context: Path, options: Sequence[str], scratch: Path) -> None:
        settings = scratch / "pip.conf"
        settings.write_text(_pip_configuration())
        volumes = [f"--volume={settings}:/etc/pip.conf:ro"]
        if AUTHORITIES.exists():
            # a registry behind a private authority; none is baked in
            volumes.append(f"--volume={AUTHORITIES}:{AUTHORITIES}:ro")
        self._run(
            "bud",
            "--isolation=chroot",
            "--pull=never",
            "--layers",
            "--format=docker",
            *volumes,
            *options,
            f"--file={dockerfile}",
            f"--tag={name}",
            str(context),
        )

    def _run(self, *arguments: str) -> None:
        outcome = self._outcome(*arguments)
        if outcome.returncode != 0:
            raise RuntimeError(f"buildah {arguments[0]} failed:\n{(outcome.stdout + outcome.stderr)[-3000:]}")

    def _outcome(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        storage = cache.root() / "buildah"
        missing = [folder for folder in NOTES if not folder.exists()]
        try:
            # buildah keeps its storage mounted; in a namespace of its own that mount ends with the command
            return subprocess.run(
                [
                    *("unshare", "--mount", "buildah", "--storage-driver=overlay"),
                    *(f"--root={storage / 'root'}", f"--runroot={storage / 'run'}"),
                    *arguments,
                ],
                env={**os.environ, "TMPDIR": str(cache.root())},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            for folder in missing:
                shutil.rmtree(folder, ignore_errors=True)


def _pip_configuration() -> str:
    """What this machine's pip is configured with, wherever that is written, as a file for the build."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    lines = ["[global]"]
    for setting in PIP_SETTINGS:
        # the last line wins: pip lists files first, then the environment
        found = re.findall(rf"^\S+\.{setting}='(.*)'$", listed, re.MULTILINE)
        if found:
            lines.append(f"{setting} = {found[-1]}")
    if AUTHORITIES.exists():
        lines.append(f"cert = {AUTHORITIES}")
    return "\n".join(lines) + "\n"
