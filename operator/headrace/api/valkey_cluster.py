"""How a Valkey Cluster is told from one server. Headrace does not work on a cluster.

Asked is HELLO, which no ACL can refuse; INFO and the commands of CLUSTER can be.
"""

from __future__ import annotations

from typing import Any

CLUSTER_UNSUPPORTED = "ClusterUnsupported"
"""The reason, wherever one is given."""

EXPLANATION = (
    "is a node of a Valkey Cluster (cluster-enabled yes), which Headrace does not support: the keys that one step"
    " changes would lie on several nodes. Nothing was read or written there. Use one server, with replicas if you like"
)
"""Follows the name of the server."""

_WORDS = ("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN")


def is_cluster(hello: Any) -> bool:
    """Whether the answer to HELLO, of RESP2 or RESP3, is that of a cluster's node; no answer is none of one."""
    if isinstance(hello, (list, tuple)):
        hello = dict(zip(hello[::2], hello[1::2], strict=False))
    if not isinstance(hello, dict):
        return False
    mode = hello.get(b"mode", hello.get("mode"))
    return mode in (b"cluster", "cluster")


def speaks_of_cluster(text: str) -> bool:
    """Whether *text*, an error of Valkey's, is one that only a cluster's node gives."""
    return text.partition(" ")[0] in _WORDS
