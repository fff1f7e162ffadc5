"""The cluster of the test bed: what it offers, and that it leaves the machine as it was."""

import json
import subprocess
import textwrap
from pathlib import Path

import pytest

from testbed import brokers, images, layout, leftovers, process
from testbed.docker import kind_is_usable
from testbed.environment import Environment

pytestmark = pytest.mark.skipif(kind_is_usable(), reason="these are promises of the native test bed")

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

ROUND_TRIP = """
import sys, urllib.request
import pulsar, valkey
namespace = sys.argv[1]
topic = "persistent://public/default/round-trip"
admin = f"http://pulsar.{namespace}:8080/admin/v2/persistent/public/default/round-trip"
urllib.request.urlopen(urllib.request.Request(admin, method="PUT"))
client = pulsar.Client(f"pulsar://pulsar.{namespace}.svc.cluster.local:6650")
consumer = client.subscribe(topic, "check")
client.create_producer(topic).send(b"there")
print(consumer.receive(10_000).data().decode())
client.close()
server = valkey.Valkey(f"valkey.{namespace}")
server.set("key", "and back")
print(server.get("key").decode(), server.config_get("appendonly")["appendonly"])
"""


def make_namespace(cluster: Environment, name: str) -> None:
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))


def machine() -> dict[str, list[str]]:
    """What of this machine a test bed could leave changed."""
    words = ("ip -o link", "ip -o route", "ip netns list", "findmnt --noheadings --raw --output TARGET")
    seen = {each: subprocess.run(each.split(), capture_output=True, text=True).stdout.splitlines() for each in words}
    folders = [Path("/run"), Path("/var/lib"), Path("/var/log"), Path("/opt"), *Path("/sys/fs/cgroup").glob("*")]
    return seen | {str(folder): sorted(each.name for each in folder.iterdir()) for folder in folders if folder.is_dir()}


def test_up_when_up_changes_nothing(bare_cluster: Environment) -> None:
    before = {each.name: each.identity for each in process.recorded(layout.RECORDS)}
    bare_cluster.up()
    assert {each.name: each.identity for each in process.recorded(layout.RECORDS)} == before


def test_pods_of_another_restricted_namespace_reach_the_brokers_by_name(cluster: Environment) -> None:
    for name in ("testbed-brokers", "testbed-client"):
        make_namespace(cluster, name)
    brokers.deploy(cluster, "testbed-brokers")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client", "namespace": "testbed-client"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "client",
                    "image": cluster.image(images.WORKER),
                    "command": ["python", "-c", textwrap.dedent(ROUND_TRIP), "testbed-brokers"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    cluster.apply(json.dumps(pod))
    here = "--namespace=testbed-client"
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/client", here, "--timeout=90s")
    said = cluster.kubectl("logs", "client", here).splitlines()
    assert [line for line in said if " INFO " not in line] == ["there", "and back yes"]
    cluster.kubectl("delete", "namespace", "testbed-brokers", "testbed-client", "--timeout=120s")


def test_pod_security_refuses_a_root_pod(bare_cluster: Environment) -> None:
    make_namespace(bare_cluster, "testbed-restricted")
    refused = bare_cluster.refusal("run", "root", "--image=localhost/pause:1", "--namespace=testbed-restricted")
    assert "violates PodSecurity" in refused
    bare_cluster.kubectl("delete", "namespace", "testbed-restricted", "--timeout=60s")


def test_no_way_out_of_the_cluster(bare_cluster: Environment) -> None:
    holder = next(each for each in process.recorded(layout.RECORDS) if each.name == "namespaces")
    inside = ["nsenter", f"--target={holder.identity.process_id}", "--net"]
    routes = subprocess.run([*inside, "ip", "route"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in routes.splitlines() if line.startswith("default")]


def test_crash_is_cleaned_up_and_down_leaves_the_machine_as_it_was(bare_cluster: Environment) -> None:
    bare_cluster.down()
    before = machine()
    assert not [each for each in leftovers.listed() if each != f"folder {layout.RUN}"]
    bare_cluster.up()
    during = machine()
    assert during != before
    killed = {"kubelet", "containerd", "namespaces"}
    for each in process.recorded(layout.RECORDS):
        if each.name in killed:
            each.identity.end(0)
    assert not bare_cluster.healthy()

    bare_cluster.up()
    assert bare_cluster.healthy()
    bare_cluster.down()
    assert machine() == before
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{layout.CGROUP}"))
    assert not [each for each in leftovers.listed() if each != f"folder {layout.RUN}"]
    bare_cluster.up()
