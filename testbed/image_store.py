"""Images inside the cluster's containerd, each with a label that tells what it was made from."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from testbed import cache
from testbed.image_archive import CONTENT_LABEL
from testbed.layout import CONTAINERD_SOCKET, containerd_root, containers_to_forget


class ImageStore:
    """Talks to a running containerd with its own client."""

    def __init__(self, ctr: Path) -> None:
        self._ctr = ctr

    def content(self, name: str) -> str | None:
        """The content hash that image `name` was imported with; None when it is not there."""
        for line in self._run("images", "list", f"name=={name}").splitlines()[1:]:
            for label in line.split()[-1].split(","):
                key, _, value = label.partition("=")
                if key == CONTENT_LABEL:
                    return value
        return None

    def provide(self, name: str, content: str, write_archive: Callable[[Path], None]) -> bool:
        """Import image `name` unless it is there with this content hash; return whether it was imported.

        `write_archive` writes the image (docker-archive) to the path it gets.
        """
        if self.content(name) == content:
            return False
        with cache.scratch("image-import") as folder:
            archive = folder / "image.tar"
            write_archive(archive)
            self._run("images", "import", str(archive))
        self._run("images", "label", name, f"{CONTENT_LABEL}={content}")
        return True

    def forget_containers(self) -> None:
        """Forget the containers of a former run (their processes have ended); images stay."""
        names = self._run("containers", "list", "--quiet").split()
        if names:
            self._run("containers", "delete", *names)
        containers_to_forget().unlink(missing_ok=True)

    def answers(self) -> bool:
        """Whether containerd is up."""
        return CONTAINERD_SOCKET.exists() and self._outcome("version").returncode == 0

    def _run(self, *arguments: str) -> str:
        outcome = self._outcome(*arguments)
        if outcome.returncode != 0:
            raise RuntimeError(f"ctr {' '.join(arguments)}: {outcome.stderr.strip()}")
        return outcome.stdout

    def _outcome(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._ctr, f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )


def remove_everything() -> None:
    """Remove all images; only while no containerd runs."""
    shutil.rmtree(containerd_root(), ignore_errors=True)
    containers_to_forget().unlink(missing_ok=True)
