"""Names, addresses and folders of the native test bed: one per machine, nothing of it outside these."""

from pathlib import Path

from testbed import cache, process

NAME = "headrace"

HOST_DEVICE = f"{NAME}0"
# 198.18.0.0/15 is set aside for tests of network devices (RFC 2544), so no network of the user's has it.
HOST_ADDRESS = "198.18.0.1"
NODE_ADDRESS = "198.18.0.2"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443

CGROUP = NAME

# Small and short-lived: sockets, configuration, credentials, records of processes.
RUN = process.state_folder()
# Possibly large (emptyDir volumes, logs, etcd), so not below /run, which is memory on most machines.
DATA = Path("/var/lib/headrace-testbed")

RECORDS = RUN / "processes"
LOGS = DATA / "logs"
KUBECONFIG = RUN / "kubeconfig"
CONTAINERD_SOCKET = RUN / "containerd.sock"

# Folders whose place is compiled into kubelet, containerd's shim and libcni. Inside the test bed's mount
# namespace a folder of its own lies over each, so that the machine's are neither used nor changed.
COVERED = {
    Path("/var/lib/kubelet"): DATA / "covered" / "kubelet",
    Path("/var/log/containers"): DATA / "covered" / "container-logs",
    Path("/var/lib/cni"): DATA / "covered" / "cni",
    Path("/run/containerd"): DATA / "covered" / "containerd",
    Path("/run/netns"): DATA / "covered" / "pod-networks",
}


def containerd_root() -> Path:
    """Images, kept over restarts of the test bed."""
    return cache.root() / "containerd"


def containers_to_forget() -> Path:
    """A mark beside the images: containers of a former run may still be written there."""
    return cache.root() / "containerd-in-use"
