"""The node: configuration and command lines of containerd, kubelet and kube-proxy."""

import json
from pathlib import Path

import yaml

from testbed.certificates import Certificates
from testbed.layout import (
    CGROUP,
    CLUSTER_DOMAIN,
    CONTAINERD_SOCKET,
    DATA,
    DNS_ADDRESS,
    NAME,
    NODE_ADDRESS,
    POD_RANGE,
    RUN,
    containerd_root,
)

PAUSE_IMAGE = "localhost/pause:1"
CNI_PROGRAMS = Path("/usr/lib/cni")


def containerd(program: Path, runc: Path, *, with_kubernetes: bool = True) -> list[str | Path]:
    """Write containerd's configuration and return its command line.

    `with_kubernetes=False`: without the part kubelet talks to, for tidying up.
    """
    settings = RUN / ("containerd.toml" if with_kubernetes else "containerd-bare.toml")
    disabled = [] if with_kubernetes else ["io.containerd.grpc.v1.cri"]
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc dies of lowering it ("can't get final child's PID")
    settings.write_text(
        f"""version = 2
root = "{containerd_root()}"
state = "{RUN / "containerd"}"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{DATA / "containerd-opt"}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [{cri}.containerd]
    snapshotter = "overlayfs"
  [{cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{cri}.containerd.runtimes.runc.options]
      BinaryName = "{runc}"
  [{cri}.cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{RUN / "cni"}"
"""
    )
    return [program, f"--config={settings}"]


def pod_network() -> None:
    """Write the CNI configuration: a bridge, addresses of the pod range, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(DATA / "pod-addresses"),
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    folder = RUN / "cni"
    folder.mkdir(exist_ok=True)
    configuration = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
    (folder / "10-pods.conflist").write_text(json.dumps(configuration))


def kubelet(program: Path, certificates: Certificates, kubeconfig: Path) -> list[str | Path]:
    """Write kubelet's configuration and return its command line."""
    (RUN / "resolv.conf").touch()
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        # machines with cgroup version 1 are still around
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # never evict and never collect images because the machine's disk is full of other things
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "localStorageCapacityIsolation": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(RUN / "resolv.conf"),
        "podLogsDir": str(DATA / "pod-logs"),
    }
    (RUN / "kubelet.yaml").write_text(yaml.safe_dump(settings))
    return [
        program,
        f"--config={RUN / 'kubelet.yaml'}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={DATA / 'kubelet'}",
        f"--cert-dir={RUN / 'pki'}",
        f"--hostname-override={NAME}",
        f"--node-ip={NODE_ADDRESS}",
    ]


def proxy(program: Path, kubeconfig: Path) -> list[str | Path]:
    """Write kube-proxy's configuration and return its command line."""
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "healthzBindAddress": "127.0.0.1:10256",
        # these are settings of the whole machine: leave them as they are
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    (RUN / "kube-proxy.yaml").write_text(yaml.safe_dump(settings))
    return [program, f"--config={RUN / 'kube-proxy.yaml'}"]
