"""Valkey and Pulsar inside the cluster, in a namespace of the caller's choice."""

from pathlib import Path

from testbed.cluster import Cluster
from testbed.images import PULSAR, VALKEY
from testbed.progress import step

MANIFESTS = Path(__file__).parent / "manifests"
PULSAR_CONFIGURATION = Path(__file__).parent / "images" / "pulsar" / "standalone.conf"
READY_SECONDS = 180


def deploy(cluster: Cluster, namespace: str) -> None:
    """Put Services `valkey` (6379) and `pulsar` (6650, 8080) into an existing namespace; return when they are ready.

    Raises CommandError when they do not get ready.
    """
    for image in (VALKEY, PULSAR):
        cluster.load_image(image)
    with step(f"Valkey and Pulsar in namespace {namespace}"):
        for name, image in (("valkey", VALKEY), ("pulsar", PULSAR)):
            cluster.apply(manifest(name, cluster.image(image)), f"--namespace={namespace}")
        for name in ("valkey", "pulsar"):
            words = ("rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s")
            cluster.kubectl(*words, f"--namespace={namespace}")


def manifest(name: str, image: str) -> str:
    """The YAML of one broker, with the image and (for Pulsar) the broker's configuration put in."""
    configuration = "\n".join(f"    {line}" for line in PULSAR_CONFIGURATION.read_text().splitlines())
    text = (MANIFESTS / f"{name}.yaml").read_text()
    return text.replace("IMAGE", image).replace("    CONFIGURATION", configuration)
