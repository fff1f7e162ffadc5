"""What every kind of cluster offers to the tests and the demo: kubectl, helm, apply."""

import os
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path


class Cluster(ABC):
    """A running (after `up`) Kubernetes cluster that belongs to the test bed."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    @abstractmethod
    def prepare(self) -> None:
        """Get what is slow the first time (programs, images) and start nothing."""

    @abstractmethod
    def up(self) -> None:
        """Start it; nothing happens when it is up and healthy."""

    @abstractmethod
    def down(self) -> None:
        """Remove it with everything it left on the machine."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it is up, answers and has a ready node."""

    @abstractmethod
    def load_image(self, name: str) -> None:
        """Make an image available to pods; one of our own (see `images`) is built first if need be.

        Raises RuntimeError when it cannot be built or nobody built it.
        """

    @abstractmethod
    def image(self, name: str) -> str:
        """The name by which pods of this cluster use an image."""

    @abstractmethod
    def program(self, name: str) -> Path:
        """Where `kubectl` or `helm` is."""

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> str:  # noqa: A002 (as in subprocess)
        """Run kubectl as cluster administrator; return its output. Raises CommandError when it fails."""
        return self._run("kubectl", *arguments, text=input)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm; return its output. Raises CommandError when it fails."""
        return self._run("helm", *arguments)

    def refusal(self, *arguments: str | Path, input: str | None = None) -> str:  # noqa: A002 (as in subprocess)
        """Run kubectl and return what it was refused with. Raises AssertionError when it was not refused."""
        try:
            output = self.kubectl(*arguments, input=input)
        except CommandError as refused:
            return str(refused)
        raise AssertionError(f"kubectl {' '.join(map(str, arguments))} was not refused: {output}")

    def answers(self, *arguments: str) -> bool:
        """Whether a kubectl command succeeds within 90 s."""
        try:
            self._run("kubectl", *arguments, seconds=90)
        except (CommandError, subprocess.TimeoutExpired):
            return False
        return True

    def apply(self, manifests: str, *arguments: str) -> str:
        """Apply YAML or JSON documents. Raises CommandError with what the API server said."""
        return self.kubectl("apply", "--filename=-", *arguments, input=manifests)

    def _run(self, program: str, *arguments: str | Path, text: str | None = None, seconds: float | None = None) -> str:
        outcome = subprocess.run(
            [self.program(program), *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if outcome.returncode != 0:
            words = " ".join(str(word) for word in arguments)
            raise CommandError(f"{program} {words}: {outcome.stderr.strip() or outcome.stdout.strip()}")
        return outcome.stdout


class CommandError(RuntimeError):
    """A command on the cluster failed; the text is what it said."""
