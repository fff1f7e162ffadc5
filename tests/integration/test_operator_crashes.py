"""Killed after any write, the operator ends where it would have ended anyway."""

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.api_server import ApiServer
from tests.integration.crashing_proxy import CrashingProxy
from tests.integration.operator_bed import Kubernetes, OperatorProcess, operator, wait_for

DEPLOYMENTS = ("p-ingest-bridge", "p-process-worker", "p-results-bridge")
KINDS = ("PulsarBridge", "ValkeyWorker", "ConfigMap", "Service", "Deployment")
EACH = 4
"""Every fourth write: each point costs two starts of the operator. 1 tries them all, in four minutes."""
VOLATILE = ("resourceVersion", "generation", "managedFields", "uid", "creationTimestamp")


def pipeline(place: str, pulsar: Pulsar, valkey: Valkey) -> dict[str, Any]:
    """A pipeline in Pulsar namespace *place*."""
    return {
        "pulsar": {"serviceUrl": pulsar.service_url, "adminUrl": pulsar.admin_url},
        "valkey": {"url": valkey.url},
        "namespaces": [{"name": place}],
        "topics": [{"name": f"persistent://{place}/in", "partitions": 2, "policies": {"messageTtlSeconds": 60}}],
        "ingest": {"topic": f"persistent://{place}/in", "subscription": "s"},
        "process": {"task": "a.b", "queue": "q", "worker": {"celery": {"app": "a:app"}}},
        "results": {"topic": f"persistent://{place}/out"},
    }


def outcome(kube: Kubernetes, uids: set[str], pulsar: Pulsar) -> dict[str, Any]:
    """All that was made in Kubernetes and in Pulsar, without what is random."""
    found: dict[str, Any] = {
        f"Topic/{topic}/{what}": _ask(f"{pulsar.admin_url}/admin/v2/persistent/{kube.namespace}/a/{topic}/{what}")
        for topic in ("in", "out", "in-s-DLQ")
        for what in ("partitions", "properties", "subscriptions", "deduplicationEnabled", "messageTTL")
        # both bridges want the dead-letter topic, and either may be the first
        if (topic, what) != ("in-s-DLQ", "properties")
    }
    for kind in KINDS:
        for each in kube.list_all(kind):
            metadata = {name: value for name, value in each["metadata"].items() if name not in VOLATILE}
            uids.add(each["metadata"]["uid"])
            conditions = [
                (c["type"], c["status"], c.get("reason")) for c in each.get("status", {}).get("conditions", [])
            ]
            what = {name: each[name] for name in ("spec", "data") if name in each}
            found[f"{kind}/{metadata['name']}"] = [metadata, what, sorted(conditions)]
    return found


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read()
    return json.loads(text) if text else None


def plain(found: dict[str, Any], uids: set[str], namespace: str) -> Any:
    """*found*, comparable between namespaces."""
    text = json.dumps(found, sort_keys=True).replace(namespace, "NAMESPACE")
    for uid in uids:
        text = text.replace(uid, "UID")
    for config_hash in _hashes(found):
        text = text.replace(config_hash, "HASH")
    return json.loads(text)


def _hashes(found: dict[str, Any]) -> list[str]:
    """The config hashes: the uid is in the config."""
    return [
        each[1]["spec"]["template"]["metadata"]["annotations"]["headrace.dev/config-hash"]
        for name, each in found.items()
        if name.startswith("Deployment/")
    ]


def run(kube: Kubernetes, pulsar: Pulsar, valkey: Valkey, log: Path, proxy: CrashingProxy, crash_at: int) -> Any:
    """Make a pipeline; the operator is killed after the write of that number, and started again."""
    kube.prepare()
    settings = {"KUBECONFIG": str(proxy.kubeconfig), "HEADRACE_LEASE_NAMESPACE": kube.namespace}
    first = OperatorProcess(kube.kubeconfig, log, HEADRACE_NAMESPACES=kube.namespace, **settings)
    proxy.arm(crash_at, lambda: first.send(signal.SIGKILL))
    first.start()
    try:
        kube.create("HybridPipeline", "p", spec=pipeline(f"{kube.namespace}/a", pulsar, valkey))
        if crash_at:
            wait_for("the crash", lambda: not first.running)
            # the dead one's Lease would only cost time
            kube.delete("Lease", "headrace-operator")
            with operator(kube, log):
                kube.ready("HybridPipeline", "p", *DEPLOYMENTS)
                return _settled(kube, pulsar)
        kube.ready("HybridPipeline", "p", *DEPLOYMENTS)
        return _settled(kube, pulsar)
    finally:
        first.stop(signal.SIGKILL)


def _settled(kube: Kubernetes, pulsar: Pulsar) -> Any:
    uids = {kube.get("HybridPipeline", "p")["metadata"]["uid"]}
    return plain(outcome(kube, uids, pulsar), uids, kube.namespace)


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def test_a_crash_after_any_write_changes_nothing_in_the_end(
    api_server: ApiServer, pulsar: Pulsar, valkey_server: Valkey, tmp_path: Path
) -> None:
    with CrashingProxy(api_server.kubeconfig, tmp_path) as proxy:
        reference = run(
            Kubernetes(api_server.kubeconfig, "crash-never"), pulsar, valkey_server, tmp_path / "0", proxy, 0
        )
        writes = proxy.writes
        assert len(reference) == 3 * 5 - 1 + 3 + 3 * 3
        for crash_at in range(1, writes - 2, EACH):
            kube = Kubernetes(api_server.kubeconfig, f"crash-{crash_at}")
            log = tmp_path / str(crash_at)
            assert run(kube, pulsar, valkey_server, log, proxy, crash_at) == reference, f"crash after {crash_at}"
