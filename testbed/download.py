"""Official release files with their checksums, where the network allows it; quicker than building."""

import hashlib
import http.client
import platform
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from testbed.progress import say, step

# A network that drops packets instead of refusing must not hold us up for long.
CONNECT_SECONDS = 5
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class UnreachableError(Exception):
    """The file's server does not answer, or does not let us have it."""


def kubernetes(version: str, programs: Sequence[str], target: Path) -> bool:
    """Download Kubernetes' programs into `target`; False where the network does not allow it.

    Raises ValueError when a file is not what its checksum says.
    """
    try:
        base = f"https://dl.k8s.io/v{version}/bin/linux/{_architecture()}"
        for program in programs:
            _file(f"{base}/{program}", _text(f"{base}/{program}.sha256"), target / program)
    except UnreachableError as refused:
        say(f"no official download of Kubernetes ({refused}): building it")
        return False
    return True


def helm(version: str, target: Path) -> bool:
    """Download Helm; as `kubernetes`."""
    url = f"https://get.helm.sh/helm-v{version}-linux-{{}}.tar.gz"
    return _archived("helm", url, "sha256sum", target)


def coredns(version: str, target: Path) -> bool:
    """Download CoreDNS; as `kubernetes`."""
    base = f"https://github.com/coredns/coredns/releases/download/v{version}"
    return _archived("coredns", f"{base}/coredns_{version}_linux_{{}}.tgz", "sha256", target)


def _archived(program: str, template: str, checksum_suffix: str, target: Path) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        try:
            url = template.format(_architecture())
            _file(url, _text(f"{url}.{checksum_suffix}").split()[0], archive)
        except UnreachableError as refused:
            say(f"no official download of {program} ({refused}): building it")
            return False
        with tarfile.open(archive) as opened:
            for member in opened:
                content = opened.extractfile(member) if Path(member.name).name == program else None
                if content is not None:
                    (target / program).write_bytes(content.read())
                    (target / program).chmod(0o755)
                    return True
    raise ValueError(f"{url} holds no {program}")


def _file(url: str, checksum: str, path: Path) -> None:
    with step(f"downloading {url.rpartition('/')[2]}"):
        content = _bytes(url)
    if hashlib.sha256(content).hexdigest() != checksum.strip():
        raise ValueError(f"{url} is not the file that its checksum describes")
    path.write_bytes(content)
    path.chmod(0o755)


def _text(url: str) -> str:
    return _bytes(url).decode()


def _bytes(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as refused:
        raise UnreachableError(f"{refused.code} {refused.reason}") from refused
    except urllib.error.URLError as unreachable:
        raise UnreachableError(str(unreachable.reason)) from unreachable
    except (OSError, http.client.HTTPException) as unreachable:
        raise UnreachableError(str(unreachable)) from unreachable


def _architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise UnreachableError(f"nothing published for {machine}")
    return ARCHITECTURES[machine]
