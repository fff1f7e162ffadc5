"""A Kubernetes API on loopback: etcd and kube-apiserver, and nothing that acts on its own."""

import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml

from testbed import programs
from testbed.loopback import HOST, LoopbackServer, free_ports

_TOKEN = "loopback-only"


class Etcd(LoopbackServer):
    """The API server's store. It need not survive a power cut."""

    name = "etcd"
    start_seconds = 20.0
    stop_seconds = 5.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        clients, peers = free_ports(2)
        self.url = f"http://{HOST}:{clients}"
        self._peers = f"http://{HOST}:{peers}"

    def command(self) -> Sequence[str | Path]:
        """etcd, which never syncs."""
        return [
            programs.programs()["etcd"],
            f"--data-dir={self.directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self._peers}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class ApiServer(LoopbackServer):
    """kube-apiserver with its own etcd; the user of :attr:`kubeconfig` may do everything."""

    name = "kube-apiserver"
    start_seconds = 60.0
    stop_seconds = 10.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._etcd = Etcd(directory / "etcd")
        (self._port,) = free_ports(1)
        self.kubeconfig = directory / "kubeconfig"
        # kube-apiserver makes it itself, together with the authority that signs it
        self._certificate = directory / "certificates" / "apiserver.crt"

    def start(self) -> "ApiServer":
        """Start both; errors as those of any server on loopback."""
        self._etcd.start()
        self._write_files()
        super().start()
        return self

    def stop(self) -> None:
        """Stop both."""
        super().stop()
        self._etcd.stop()

    def command(self) -> Sequence[str | Path]:
        """kube-apiserver with RBAC, as everywhere."""
        key = self.directory / "service-accounts.key"
        return [
            programs.programs()["kube-apiserver"],
            f"--etcd-servers={self._etcd.url}",
            f"--bind-address={HOST}",
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            f"--cert-dir={self._certificate.parent}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            # nobody is there to make them
            "--disable-admission-plugins=ServiceAccount",
        ]

    def ready(self) -> bool:
        """Whether it serves."""
        request = urllib.request.Request(
            f"https://{HOST}:{self._port}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"}
        )
        if not self._certificate.exists():
            return False
        try:
            trusting = ssl.create_default_context(cafile=str(self._certificate))
            with urllib.request.urlopen(request, timeout=2, context=trusting) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ssl.SSLError, OSError):
            return False

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "tokens.csv").write_text(f'{_TOKEN},tests,tests,"system:masters"\n')
        key = self.directory / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        cluster = {"server": f"https://{HOST}:{self._port}", "certificate-authority": str(self._certificate)}
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "loopback",
            "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "tests"}}],
            "clusters": [{"name": "loopback", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": _TOKEN}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
