"""Everything before the first event and after the last: images, brokers, chart, pipeline, Jobs."""

import json
import time
from pathlib import Path
from typing import Any

import yaml

from demo import data
from demo.figures import NAMESPACE, PIPELINE
from testbed import cache
from testbed.cluster import Cluster, CommandError
from testbed.progress import step

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "demo" / "manifests"
APP = ROOT / "demo" / "app"
CHART = ROOT / "charts" / "headrace"
OPERATOR_NAMESPACE = "headrace-system"
RELEASE = "headrace"
IMAGE = "localhost/headrace-demo:dev"
READY_SECONDS = 300
LEDGER_SECONDS = 300


def flights() -> Path:
    """Return the folder with the events for the image; they are converted once and kept in the cache."""
    version = cache.content_hash([ROOT / "demo" / "data.py", data.package_folder()])
    return cache.artefact(f"flights-{version}", data.write)


def fresh_namespace(cluster: Cluster) -> None:
    """Make the demo's namespace; what an earlier run left there (also one that crashed) goes first."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=180s")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.apply(json.dumps(namespace))


def apply_pipeline(cluster: Cluster) -> None:
    """The one `kubectl apply`, then wait until the pipeline is ready.

    Raises CommandError with what the resources and pods look like when it does not get ready.
    """
    cluster.kubectl("apply", f"--filename={MANIFESTS / 'pipeline.yaml'}")
    try:
        cluster.kubectl(
            "wait",
            "--for=condition=Ready",
            f"hybridpipeline/{PIPELINE}",
            f"--namespace={NAMESPACE}",
            f"--timeout={READY_SECONDS}s",
        )
    except CommandError as error:
        resources = "hybridpipelines,valkeyworkers,pulsarbridges,pods"
        picture = cluster.kubectl("get", resources, f"--namespace={NAMESPACE}", "--output=wide")
        raise CommandError(f"{error}\n{conditions(cluster)}\n{picture}") from error


def conditions(cluster: Cluster) -> str:
    """The pipeline's conditions, one a line."""
    resource = json.loads(
        cluster.kubectl("get", "hybridpipeline", PIPELINE, f"--namespace={NAMESPACE}", "--output=json")
    )
    every = resource.get("status", {}).get("conditions", [])
    return "\n".join(f"{each['type']}={each['status']} {each['reason']}: {each['message']}" for each in every)


def start_producer(cluster: Cluster, events: int) -> None:
    """Start the Job that sends the events."""
    job = manifest("producer.yaml")
    job["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "EVENTS", "value": str(events)}]
    cluster.apply(json.dumps(job))


def run_ledger(cluster: Cluster) -> None:
    """Run the Job that reads the topics back, to its end. Whether it balances stands in its log."""
    cluster.apply(json.dumps(manifest("ledger.yaml")))
    deadline = time.monotonic() + LEDGER_SECONDS
    while not job_ended(cluster, "ledger"):
        if time.monotonic() > deadline:
            pods = cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=wide")
            raise TimeoutError(f"the ledger Job did not end within {LEDGER_SECONDS} s\n{pods}")
        time.sleep(1)


def job_ended(cluster: Cluster, name: str) -> bool:
    """Whether a Job has succeeded or failed."""
    job = json.loads(cluster.kubectl("get", "job", name, f"--namespace={NAMESPACE}", "--output=json"))
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True"
        for each in job.get("status", {}).get("conditions", [])
    )


def manifest(name: str) -> dict[str, Any]:
    """Read one of the demo's manifests."""
    document: dict[str, Any] = yaml.safe_load((MANIFESTS / name).read_text())
    return document


def install_operator(cluster: Cluster, *settings: str) -> None:
    """`helm upgrade --install` of the chart; a release that a killed run left half-made is removed first."""
    arguments = [f"--namespace={OPERATOR_NAMESPACE}"]
    with step("Headrace by its Helm chart"):
        releases = json.loads(cluster.helm("list", "--all", "--output=json", *arguments))
        if any(each["status"].startswith("pending") for each in releases):
            cluster.helm("uninstall", RELEASE, "--wait", *arguments)
            releases = []
        cluster.helm(
            "upgrade",
            "--install",
            RELEASE,
            CHART,
            *arguments,
            "--create-namespace",
            "--wait",
            "--timeout=5m",
            *(f"--set={setting}" for setting in settings),
        )
        if releases:
            # The images keep their tag when they are built anew, so nothing in the Deployment has changed.
            cluster.kubectl("rollout", "restart", "deployment", *arguments)
            cluster.kubectl("rollout", "status", "deployment", "--timeout=120s", *arguments)
