"""The cluster where Docker and kind are present. It cannot run, and so is not tested, on a machine without them.

The official images of Valkey and Pulsar take the place of ours; operator and worker are built by Docker.
"""

import subprocess
from pathlib import Path

from testbed import cache, debian, images, programs
from testbed.cluster import Cluster
from testbed.progress import step

NAME = "headrace"
CONFIGURATION = Path(__file__).parents[1] / "kind-config.yaml"
OFFICIAL_IMAGES = {"localhost/valkey:dev": "valkey/valkey:9.1", "localhost/pulsar:dev": "apachepulsar/pulsar:4.0.7"}


class KindCluster(Cluster):
    """A kind cluster named `headrace`, made from kind-config.yaml."""

    def __init__(self) -> None:
        super().__init__(cache.root() / "kind.kubeconfig")
        self._this = (f"--name={NAME}", f"--kubeconfig={self.kubeconfig}")

    def prepare(self) -> None:
        """Build the two images that are ours."""
        images.build_all()

    def up(self) -> None:
        """Create the cluster; nothing happens when it is there."""
        with cache.lock("testbed"):
            if self.healthy():
                return
            with step("Kubernetes in kind"):
                self._kind("create", "cluster", f"--config={CONFIGURATION}", *self._this)

    def down(self) -> None:
        """Delete the cluster; nothing happens when there is none."""
        with cache.lock("testbed"):
            self._kind("delete", "cluster", *self._this)
            self.kubeconfig.unlink(missing_ok=True)

    def healthy(self) -> bool:
        """Whether kind knows the cluster and its API server answers."""
        if NAME not in self._kind("get", "clusters").split() or not self.kubeconfig.exists():
            return False
        return self.answers("get", "--raw", "/readyz")

    def load_image(self, name: str) -> None:
        """Bring an image of Docker into the cluster; the node pulls official ones itself."""
        if name not in OFFICIAL_IMAGES:
            images.provide(name)
            self._kind("load", "docker-image", name, f"--name={NAME}")

    def image(self, name: str) -> str:
        """The official image in place of one that only the native test bed builds."""
        return OFFICIAL_IMAGES.get(name, name)

    def program(self, name: str) -> Path:
        """The kubectl or helm of this machine, whatever its version; else of the cache."""
        return debian.find_program(name) or programs.client(name)

    def _kind(self, *arguments: str) -> str:
        outcome = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            raise RuntimeError(f"kind {' '.join(arguments)} failed: {outcome.stderr.strip()}")
        return outcome.stdout
