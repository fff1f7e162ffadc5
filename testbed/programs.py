"""Kubernetes, CoreDNS and Helm: found on this machine, else built from their Go modules; then kept by version."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, debian, golang
from testbed.progress import step

KUBERNETES_VERSION = "1.36.3"
COREDNS_VERSION = "1.15.0"
HELM_VERSION = "3.22.0"

# The first one compiles most of what the others share.
KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kubelet",
    "kube-controller-manager",
    "kubectl",
    "kube-proxy",
    "kube-scheduler",
)
VERSION_ARGUMENTS = {
    "kubectl": ["version", "--client"],
    "helm": ["version", "--short"],
    "coredns": ["-version"],
}


@dataclass(frozen=True)
class Programs:
    """Where each program is."""

    paths: dict[str, Path]

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]


@functools.cache
def programs() -> Programs:
    """Get all of them, the slow way where nothing else helps (10 minutes on two cores, once).

    Raises RuntimeError when one can be neither found nor built.
    """
    paths = {**_kubernetes(), "helm": _helm(), "coredns": _coredns()}
    golang.remove_workspace()
    paths["etcd"] = debian.unpacked("etcd-server", "usr/bin/etcd")
    # its only job is to wait, as the first process of each pod
    paths["catatonit"] = debian.unpacked("catatonit", "usr/bin/catatonit")
    debian.require(
        {
            "ip": "iproute2",
            "mount": "mount",
            "nft": "nftables",
            "conntrack": "conntrack",
            "iptables": "iptables",
            "openssl": "openssl",
            "findmnt": "util-linux",
            "/usr/lib/cni/bridge": "containernetworking-plugins",
        }
    )
    return Programs({**paths, **container_programs().paths})


@functools.cache
def container_programs() -> Programs:
    """Only containerd, its client ctr (which lies beside it) and runc."""
    debian.require({"runc": "runc"})
    containerd = debian.unpacked("containerd", "usr/bin/containerd")
    runc = debian.find_program("runc")
    if runc is None:
        raise RuntimeError("runc is missing though its package is installed")
    return Programs({"containerd": containerd, "ctr": containerd.parent / "ctr", "runc": runc})


@functools.cache
def client(name: str) -> Path:
    """Only `kubectl` or `helm`."""
    return _helm() if name == "helm" else _kubernetes()["kubectl"]


def _kubernetes() -> dict[str, Path]:
    paths = {name: found(name, KUBERNETES_VERSION) for name in KUBERNETES_PROGRAMS}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        folder = cache.artefact(f"kubernetes-{KUBERNETES_VERSION}", _get_kubernetes)
        paths |= {name: folder / name for name in missing}
    return {name: path for name, path in paths.items() if path is not None}


def _helm() -> Path:
    return found("helm", HELM_VERSION) or cache.artefact(f"helm-{HELM_VERSION}", _get_helm) / "helm"


def _coredns() -> Path:
    return found("coredns", COREDNS_VERSION) or cache.artefact(f"coredns-{COREDNS_VERSION}", _get_coredns) / "coredns"


def found(name: str, version: str) -> Path | None:
    """A program of the same minor version in $KUBEBUILDER_ASSETS or on PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for candidate in (shutil.which(name, path=assets) if assets else None, shutil.which(name)):
        if candidate is None:
            continue
        arguments = VERSION_ARGUMENTS.get(name, ["--version"])
        outcome = subprocess.run([candidate, *arguments], capture_output=True, text=True, check=False)
        numbers = re.search(r"(\d+\.\d+)\.\d+", outcome.stdout)
        if numbers and numbers[1] == version.rpartition(".")[0]:
            return Path(candidate)
    return None


def _get_kubernetes(target: Path) -> None:
    with cache.lock(golang.BUILDING):
        _build_kubernetes(golang.go(), target)


def _build_kubernetes(go: golang.Go, target: Path) -> None:
    folder = golang.workspace() / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    with step(f"Kubernetes {KUBERNETES_VERSION}: source from the Go module proxy"):
        commands = [f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS]
        version = f"v{KUBERNETES_VERSION}"
        source = go.module_folder("k8s.io/kubernetes", version, folder)
        staging = kubernetes_staging((source / "go.mod").read_text())
        golang.wrapper_module(folder, "k8s.io/kubernetes", version, commands, staging)
        go.run("mod", "tidy", folder=folder)
    stamp = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
    for name, command in zip(KUBERNETES_PROGRAMS, commands, strict=True):
        with step(f"building {name} {KUBERNETES_VERSION}"):
            go.run("build", "-trimpath", f"-ldflags={stamp}", "-o", target / name, command, folder=folder)


def kubernetes_staging(go_mod: str) -> str:
    """Lines for a go.mod that requires Kubernetes, made from its own go.mod.

    There its parts are required as v0.0.0 and replaced by folders of its repository; the same parts are
    published as v0.MINOR.PATCH. Pseudo-versions (v0.0.0-2025…, of k8s.io/utils for one) are real versions.
    """
    published = "v0." + KUBERNETES_VERSION.split(".", 1)[1]
    parts = sorted(set(re.findall(r"(k8s\.io/[\w.-]+) v0\.0\.0(?=\s)", go_mod)))
    language = re.search(r"^go \S+$", go_mod, re.MULTILINE)
    lines = [language[0]] if language else []
    return "\n".join([*lines, *(f"replace {part} => {part} {published}" for part in parts)])


def _get_coredns(target: Path) -> None:
    _go_install(f"github.com/coredns/coredns@v{COREDNS_VERSION}", target)


def _get_helm(target: Path) -> None:
    _go_install(f"helm.sh/helm/v3/cmd/helm@v{HELM_VERSION}", target, f"-X {HELM_STAMP}=v{HELM_VERSION}")


HELM_STAMP = "helm.sh/helm/v3/internal/version.version"


def _go_install(command: str, target: Path, *stamp: str) -> None:
    module, version = command.split("@")
    name = module.rpartition("/")[2]
    with cache.lock(golang.BUILDING), step(f"building {name} {version.removeprefix('v')}"):
        go = golang.go()
        golang.workspace().mkdir(parents=True, exist_ok=True)
        flags: Sequence[str] = ("-s", "-w", *stamp)
        # `go install` of another module's command leaves no choice of the target but GOBIN
        installer = golang.Go(go.program, {"GOBIN": str(target), "GOFLAGS": "-modcacherw -buildvcs=false"})
        installer.run("install", "-trimpath", f"-ldflags={' '.join(flags)}", command, folder=golang.workspace())
