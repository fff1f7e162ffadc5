"""What every kind of cluster offers to the tests and the demo: kubectl, helm, apply."""

import os
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path


class Cluster(ABC):
    """A running (after `up`) Kubernetes cluster that belongs to the test bed."""

    def __init__(self, kubeconfig: Path, kubectl: Path, helm: Path) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._helm = helm

    @abstractmethod
    def up(self) -> None:
        """Start it; nothing happens when it is up and healthy."""

    @abstractmethod
    def down(self) -> None:
        """Remove it with everything it left on the machine."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it is up, answers and has a ready node."""

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl as cluster administrator; return its output. Raises CommandError when it fails."""
        return self._run(self._kubectl, *arguments, stdin=stdin)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm; return its output. Raises CommandError when it fails."""
        return self._run(self._helm, *arguments)

    def apply(self, manifests: str, *arguments: str) -> str:
        """Apply YAML or JSON documents. Raises CommandError with what the API server said."""
        return self.kubectl("apply", "--filename=-", *arguments, stdin=manifests)

    def _run(self, program: Path, *arguments: str | Path, stdin: str | None = None) -> str:
        outcome = subprocess.run(
            [program, *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if outcome.returncode != 0:
            words = " ".join(str(word) for word in arguments)
            raise CommandError(f"{program.name} {words}: {outcome.stderr.strip() or outcome.stdout.strip()}")
        return outcome.stdout


class CommandError(RuntimeError):
    """A command on the cluster failed; the text is what it said."""
