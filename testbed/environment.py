"""The cluster this machine can run: kind where Docker is, else Kubernetes' own processes."""

from testbed.cluster import Cluster
from testbed.docker import kind_is_usable
from testbed.kind import KindCluster
from testbed.native import NativeCluster

# What tests call it.
Environment = Cluster


def current() -> Cluster:
    """The cluster of this machine, started or not."""
    return KindCluster() if kind_is_usable() else NativeCluster()


def up() -> Cluster:
    """Start the cluster (nothing happens when it is up) and return it.

    Raises RuntimeError or TimeoutError with one line that says what is wrong and where to look.
    """
    cluster = current()
    cluster.up()
    return cluster


def down() -> None:
    """Stop the cluster and remove all it left on the machine; nothing happens when there is none."""
    current().down()
