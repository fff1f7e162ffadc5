"""Keys and certificates of one cluster, made by openssl anew at each start and valid for a month."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed.layout import API_SERVICE_ADDRESS, CLUSTER_DOMAIN, NODE_ADDRESS

VALID_DAYS = "30"


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate, as PEM files."""

    key: Path
    certificate: Path


@dataclass(frozen=True)
class Certificates:
    """What the control plane needs."""

    authority: KeyPair
    api_server: KeyPair
    kubelet_client: KeyPair
    front_proxy_authority: KeyPair
    front_proxy: KeyPair
    service_account_key: Path


def create(folder: Path) -> Certificates:
    """Make all of them in `folder`. Raises RuntimeError with what openssl said."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = certificate_authority(folder, "ca", "headrace-testbed")
    front_proxy_authority = certificate_authority(folder, "front-proxy-ca", "headrace-testbed-front-proxy")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += [f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "localhost"]
    addresses = [API_SERVICE_ADDRESS, NODE_ADDRESS, "127.0.0.1"]
    alternatives = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{ip}" for ip in addresses)])
    service_account_key = folder / "service-account.key"
    _openssl("genrsa", "-out", str(service_account_key), "2048")
    return Certificates(
        authority=authority,
        api_server=signed(folder, "apiserver", "/CN=kube-apiserver", authority, "serverAuth", alternatives),
        # the group whose members may do everything, here on the kubelet's API
        kubelet_client=signed(
            folder, "kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", authority
        ),
        front_proxy_authority=front_proxy_authority,
        front_proxy=signed(folder, "front-proxy", "/CN=front-proxy-client", front_proxy_authority),
        service_account_key=service_account_key,
    )


def certificate_authority(folder: Path, name: str, common_name: str) -> KeyPair:
    """Make an authority that signs others, `name`.key and `name`.crt. Raises RuntimeError."""
    pair = KeyPair(folder / f"{name}.key", folder / f"{name}.crt")
    _request(pair, f"/CN={common_name}", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
    return pair


def signed(
    folder: Path,
    name: str,
    subject: str,
    authority: KeyPair,
    usage: str = "clientAuth",
    alternatives: str | None = None,
) -> KeyPair:
    """Make a key and its certificate, signed by `authority`, for `DNS:name,IP:address`. Raises RuntimeError."""
    pair = KeyPair(folder / f"{name}.key", folder / f"{name}.crt")
    extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}"]
    if alternatives:
        extensions.append(f"subjectAltName={alternatives}")
    _request(pair, subject, *extensions, authority=authority)
    return pair


def _request(pair: KeyPair, subject: str, *extensions: str, authority: KeyPair | None = None) -> None:
    # the system's configuration would add extensions of its own
    settings = pair.key.parent / "openssl.cnf"
    settings.write_text("[req]\ndistinguished_name = name\n[name]\n")
    signer = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)] if authority else []
    _openssl(
        *("req", "-x509", "-nodes", "-config", str(settings)),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-days", VALID_DAYS, "-subj", subject),
        *("-keyout", str(pair.key), "-out", str(pair.certificate)),
        *signer,
        *(word for extension in extensions for word in ("-addext", extension)),
    )


def _openssl(*arguments: str) -> None:
    outcome = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {outcome.stderr.strip()}")
