"""Command lines of etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""

from pathlib import Path

from testbed.certificates import Certificates
from testbed.layout import API_PORT, DATA, NODE_ADDRESS, POD_RANGE, RUN, SERVICE_RANGE

SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"
ETCD_URL = "http://127.0.0.1:2379"


def etcd(program: Path) -> list[str | Path]:
    """A store for one run of the test bed: it need not survive a power cut, so it never syncs."""
    return [
        program,
        f"--data-dir={DATA / 'etcd'}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--logger=zap",
    ]


def api_server(program: Path, certificates: Certificates, tokens: Path) -> list[str | Path]:
    """RBAC, Pod Security admission (on by default) and the aggregation layer, as a production cluster has."""
    api, proxy = certificates.api_server, certificates.front_proxy
    return [
        program,
        f"--etcd-servers={ETCD_URL}",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--token-auth-file={tokens}",
        f"--client-ca-file={certificates.authority.certificate}",
        f"--tls-cert-file={api.certificate}",
        f"--tls-private-key-file={api.key}",
        f"--cert-dir={RUN / 'pki'}",
        f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
        f"--service-account-key-file={certificates.service_account_key}",
        f"--service-account-signing-key-file={certificates.service_account_key}",
        f"--kubelet-client-certificate={certificates.kubelet_client.certificate}",
        f"--kubelet-client-key={certificates.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={certificates.front_proxy_authority.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={proxy.certificate}",
        f"--proxy-client-key-file={proxy.key}",
    ]


def controller_manager(program: Path, certificates: Certificates, kubeconfig: Path) -> list[str | Path]:
    """Autoscalers look every 3 s here, not every 15 s, so that tests of scaling need not wait."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={RUN / 'pki'}",
        f"--cluster-cidr={POD_RANGE}",
        f"--service-account-private-key-file={certificates.service_account_key}",
        f"--root-ca-file={certificates.authority.certificate}",
        f"--cluster-signing-cert-file={certificates.authority.certificate}",
        f"--cluster-signing-key-file={certificates.authority.key}",
        "--use-service-account-credentials=true",
        "--horizontal-pod-autoscaler-sync-period=3s",
        # by default it makes its 40 service accounts one by one for 6 s
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--leader-elect=false",
    ]


def scheduler(program: Path, kubeconfig: Path) -> list[str | Path]:
    """The scheduler with its defaults."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={RUN / 'pki'}",
        "--leader-elect=false",
    ]
