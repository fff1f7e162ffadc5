"""A one-node cluster of real Kubernetes processes on this machine, without Docker."""

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from testbed import (
    cache,
    certificates,
    control_plane,
    identities,
    image_archive,
    images,
    isolation,
    leftovers,
    network,
    node,
    process,
)
from testbed.cluster import Cluster
from testbed.container_runtime import start_containerd
from testbed.image_store import ImageStore
from testbed.layout import DATA, KUBECONFIG, LOGS, NAME, RECORDS, RUN, containers_to_forget
from testbed.programs import COREDNS_VERSION, KUBERNETES_VERSION, Programs, client, container_programs, programs
from testbed.progress import step

COREDNS_IMAGE = "localhost/coredns:dev"
MANIFESTS = Path(__file__).parent / "manifests"
EXPECTED = (
    isolation.HOLDER,
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)


class NativeCluster(Cluster):
    """Kubernetes as processes of this machine: one per machine, shared by whoever calls `up`."""

    def __init__(self) -> None:
        super().__init__(KUBECONFIG)

    @functools.cached_property
    def _programs(self) -> Programs:
        return programs()

    @functools.cached_property
    def _images(self) -> ImageStore:
        return ImageStore(container_programs()["ctr"])

    def prepare(self) -> None:
        """Programs and images: a quarter of an hour on a machine that has nothing yet, a second afterwards."""
        _ = self._programs
        images.build_all()

    def up(self) -> None:
        """Start the cluster; nothing happens when it is up and healthy. Ready in some 10 s.

        A half of one (after a crash) is removed first. Raises TimeoutError naming the log to read.
        """
        if os.geteuid() != 0:
            raise RuntimeError("the test bed makes network namespaces and mounts: please run it as root")
        with cache.lock("testbed"):
            if self.healthy():
                return
            leftovers.remove()
            # slow the first time, and none of it is the cluster's start
            _ = self._programs
            with step(f"Kubernetes {KUBERNETES_VERSION} on this machine"):
                try:
                    self._start()
                except (TimeoutError, RuntimeError, ChildProcessError) as error:
                    kept = self._keep_logs()
                    leftovers.remove()
                    raise RuntimeError(f"{error} (kept in {kept})") from error
                except BaseException:
                    leftovers.remove()
                    raise

    def down(self) -> None:
        """Stop everything and remove every trace outside the cache."""
        with cache.lock("testbed"):
            leftovers.remove()

    def healthy(self) -> bool:
        """Whether all its processes run, the API server answers and the node is ready."""
        running = {each.name for each in process.recorded(RECORDS)}
        # patient, for an overloaded machine is no reason to begin anew
        return running.issuperset(EXPECTED) and self._api_ready() and self._node_ready(patience_seconds=60)

    def load_image(self, name: str) -> None:
        """Import an image into the cluster's containerd, unless it is there with the same content."""
        with cache.lock(f"load-{name}"):
            content = images.provide(name)
            if self._images.content(name) != content:
                with step(f"loading image {name.removeprefix('localhost/')}"):
                    self._images.provide(name, content, lambda path: images.builder().write_archive(name, path))

    def image(self, name: str) -> str:
        """Images have their own names here."""
        return name

    def program(self, name: str) -> Path:
        """Out of this machine or the cache."""
        return client(name)

    def _start(self) -> None:
        for folder in (RUN, LOGS, DATA):
            folder.mkdir(parents=True, exist_ok=True)
        isolation.create_cgroups()
        holder = isolation.create()
        inside = isolation.enter(holder)
        network.create(holder.identity.process_id, inside)
        keys = certificates.create(RUN / "pki")
        names = ("manager", "scheduler", "kubelet", "proxy")
        kubeconfigs = {"admin": KUBECONFIG, **{name: RUN / f"{name}.kubeconfig" for name in names}}
        tokens = identities.create(RUN, keys.authority.certificate, kubeconfigs)
        get = self._programs

        def start(name: str, command: Sequence[str | Path]) -> None:
            process.start(name, [*inside, *command], records=RECORDS, log=LOGS / f"{name}.log")

        start("etcd", control_plane.etcd(get["etcd"]))
        start("kube-apiserver", control_plane.api_server(get["kube-apiserver"], keys, tokens))
        containers_to_forget().touch()
        node.pod_network()
        start_containerd(inside)
        self._provide_images()
        process.wait_until(self._api_ready, 60, f"the API server is not ready, see {LOGS}")
        manager = control_plane.controller_manager(get["kube-controller-manager"], keys, kubeconfigs["manager"])
        start("kube-controller-manager", manager)
        start("kube-scheduler", control_plane.scheduler(get["kube-scheduler"], kubeconfigs["scheduler"]))
        start("kubelet", node.kubelet(get["kubelet"], keys, kubeconfigs["kubelet"]))
        start("kube-proxy", node.proxy(get["kube-proxy"], kubeconfigs["proxy"]))
        self.apply((MANIFESTS / "coredns.yaml").read_text())
        process.wait_until(self._node_ready, 60, f"the node is not ready, see {LOGS / 'kubelet.log'}")
        self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")

    def _provide_images(self) -> None:
        pause, coredns = self._programs["catatonit"], self._programs["coredns"]
        self._images.provide(
            node.PAUSE_IMAGE,
            cache.content_hash([pause]),
            lambda path: image_archive.write(path, node.PAUSE_IMAGE, pause, ["/catatonit", "-P"]),
        )
        self._images.provide(
            COREDNS_IMAGE,
            COREDNS_VERSION,
            lambda path: image_archive.write(path, COREDNS_IMAGE, coredns, ["/coredns"]),
        )

    def _api_ready(self) -> bool:
        return self.kubeconfig.exists() and self.answers("get", "--raw", "/readyz")

    def _node_ready(self, patience_seconds: int = 1) -> bool:
        condition = "--for=condition=Ready"
        return self.answers("wait", condition, f"node/{NAME}", f"--timeout={patience_seconds}s")

    def _keep_logs(self) -> Path:
        """Keep the logs of a start that failed, for its error names them and the rest is removed."""
        kept = cache.root() / "logs-of-last-failure"
        shutil.rmtree(kept, ignore_errors=True)
        return Path(shutil.copytree(LOGS, kept))
