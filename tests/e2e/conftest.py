"""The operator installed by its chart under its own RBAC, brokers and a toolbox in a restricted namespace."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import brokers, images
from testbed.environment import Environment
from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.manifests import APP_IMAGE

SYSTEM = "headrace-system"
NAMESPACE = "headrace-e2e"

TOOLBOX = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "toolbox"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "toolbox",
                "image": APP_IMAGE,
                "command": ["sleep", "infinity"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}


@pytest.fixture(scope="session")
def installed(cluster: Environment) -> Environment:
    """The chart, installed as a user would."""
    images.build_image(APP_IMAGE, Path(__file__).parent / "app", build_args={"BASE_IMAGE": images.WORKER})
    for image in (images.OPERATOR, images.WORKER, APP_IMAGE):
        cluster.load_image(image)
    chart = Path(__file__).parents[2] / "charts" / "headrace"
    operator, worker = (image.rpartition(":")[0] for image in (images.OPERATOR, images.WORKER))
    cluster.helm(
        "upgrade", "--install", "headrace", chart, "--namespace", SYSTEM, "--create-namespace",
        "--set", f"image.repository={operator},image.tag=dev",
        "--set", f"workerImage.repository={worker},workerImage.tag=dev",
        "--wait", "--timeout", "120s",
    )  # fmt: skip
    return cluster


@pytest.fixture(scope="session")
def namespace(installed: Environment) -> Iterator[Cluster]:
    """A namespace that enforces Pod Security *restricted*."""
    installed.apply(
        f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE},"
        " labels: {pod-security.kubernetes.io/enforce: restricted}}}"
    )
    brokers.deploy(installed, NAMESPACE)
    here = Cluster(installed, NAMESPACE)
    here.apply(TOOLBOX)
    here.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=60s")
    wait_until(lambda: here.toolbox("valkey", "PING"), "Valkey answers")
    yield here
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s")
