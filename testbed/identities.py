"""Who may talk to the API server: a token and a kubeconfig for each part of the cluster, and for us."""

import base64
import secrets
from pathlib import Path

import yaml

from testbed.layout import API_PORT, NAME, NODE_ADDRESS

# The names and groups that Kubernetes' own RBAC rules are bound to.
IDENTITIES = {
    "admin": ("kubernetes-admin", "system:masters"),
    "manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NAME}", "system:nodes"),
    "proxy": ("system:kube-proxy", "system:node-proxier"),
}


def create(folder: Path, authority: Path, kubeconfigs: dict[str, Path]) -> Path:
    """Write one kubeconfig per identity (to the paths given) and return the API server's token file."""
    rows = []
    for identity, (user, group) in IDENTITIES.items():
        token = secrets.token_hex(16)
        rows.append(f'{token},{user},{user},"{group}"\n')
        write_private(kubeconfigs[identity], _kubeconfig(authority, identity, token))
    tokens = folder / "tokens.csv"
    write_private(tokens, "".join(rows))
    return tokens


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _kubeconfig(authority: Path, identity: str, token: str) -> str:
    certificate = base64.b64encode(authority.read_bytes()).decode()
    server = {"server": f"https://{NODE_ADDRESS}:{API_PORT}", "certificate-authority-data": certificate}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": server}],
            "users": [{"name": identity, "user": {"token": token}}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": identity}}],
            "current-context": NAME,
        }
    )
