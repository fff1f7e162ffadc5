"""Everything before the first event and after the last: images, brokers, chart, pipeline, Jobs."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import yaml

from demo import data
from demo.figures import NAMESPACE, PIPELINE
from testbed import cache, images
from testbed.cluster import Cluster, CommandError
from testbed.progress import step

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "demo" / "manifests"
APP = ROOT / "demo" / "app"
CHART = ROOT / "charts" / "headrace"
OPERATOR_NAMESPACE = "headrace-system"
RELEASE = "headrace"
IMAGE = "localhost/headrace-demo:dev"
READY_SECONDS = 180
LEDGER_SECONDS = 300
STATUS_SECONDS = 60
_RESOURCES = (
    f"hybridpipeline/{PIPELINE}",
    f"pulsarbridge/{PIPELINE}-ingest",
    f"pulsarbridge/{PIPELINE}-results",
    f"valkeyworker/{PIPELINE}-process",
)
"""The first three count dead letters."""


def provide_images(cluster: Cluster) -> None:
    """Build the operator's image, the worker's, and the demo's own on that; make them available to pods."""
    for name in (images.OPERATOR, images.WORKER):
        images.provide(name)
        cluster.load_image(name)
    events = flights()
    options = [f"--build-context=flights={events}"]
    images.build_image(IMAGE, APP, None, {"BASE_IMAGE": images.WORKER}, options, [APP, events])
    cluster.load_image(IMAGE)


def flights() -> Path:
    """Return the folder with the events for the image; they are converted once and kept in the cache."""
    version = cache.content_hash([ROOT / "demo" / "data.py", data.package_folder()])
    return cache.artefact(f"flights-{version}", convert)


def convert(folder: Path) -> None:
    """Fill the folder of the cache."""
    with step("the flights of 2013 as events"):
        data.write(folder)


def install_operator(cluster: Cluster) -> None:
    """`helm upgrade --install` of the chart; a release that a killed run left half-made is removed first.

    Raises CommandError with the operator's last words when it does not get ready.
    """
    here = f"--namespace={OPERATOR_NAMESPACE}"
    settings = {
        "image.repository": repository(cluster, images.OPERATOR),
        "workerImage.repository": repository(cluster, images.WORKER),
        "image.tag": "dev",
        "workerImage.tag": "dev",
        # the images keep their tag when they are built anew, so this is what makes the Deployment differ
        r"podAnnotations.headrace\.dev/image": images.provide(images.OPERATOR),
    }
    values = [f"--set-string={name}={value}" for name, value in settings.items()]
    with step("helm install of charts/headrace"):
        releases = json.loads(cluster.helm("list", "--all", "--output=json", here))
        if any(each["status"].startswith("pending") for each in releases):
            cluster.helm("uninstall", RELEASE, "--wait", here)
        try:
            words = ("upgrade", "--install", RELEASE, CHART, "--create-namespace", "--wait", "--timeout=3m")
            cluster.helm(*words, here, *values)
        except CommandError as error:
            pods = cluster.kubectl("get", "pods", here, "--output=wide")
            log = cluster.kubectl("logs", f"deployment/{RELEASE}", "--tail=5", here)
            raise CommandError(f"{error}\n{pods}\n{log}") from error


def repository(cluster: Cluster, image: str) -> str:
    """An image's name without its tag."""
    return cluster.image(image).rpartition(":")[0]


def fresh_namespace(cluster: Cluster) -> None:
    """Make the demo's namespace; what an earlier run left there (also one that crashed) goes first."""
    if cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        with step("removing what an earlier run left"):
            # A namespace with running pods takes half their grace period to notice that they have ended.
            kinds = "hybridpipelines,valkeyworkers,pulsarbridges,jobs,deployments"
            waiting = ("--wait", "--timeout=180s")
            cluster.kubectl("delete", kinds, "--all", "--cascade=foreground", f"--namespace={NAMESPACE}", *waiting)
            cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", *waiting)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.apply(json.dumps(namespace))


def apply_pipeline(cluster: Cluster) -> None:
    """The one `kubectl apply`, then wait until the pipeline is ready.

    Raises CommandError with what the resources and pods look like when it does not get ready.
    """
    cluster.kubectl("apply", f"--filename={MANIFESTS / 'pipeline.yaml'}")
    here, timeout = f"--namespace={NAMESPACE}", f"--timeout={READY_SECONDS}s"
    try:
        with step("pipeline `flights` gets ready"):
            cluster.kubectl("wait", "--for=condition=Ready", f"hybridpipeline/{PIPELINE}", here, timeout)
    except CommandError as error:
        resources = "hybridpipelines,valkeyworkers,pulsarbridges,pods"
        picture = cluster.kubectl("get", resources, here, "--output=wide")
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


def await_empty(cluster: Cluster) -> None:
    """Wait until the status tells that nothing waits: it is renewed every half minute."""
    here, timeout = f"--namespace={NAMESPACE}", f"--timeout={STATUS_SECONDS}s"
    with contextlib.suppress(CommandError):  # the ledger tells what is missing
        cluster.kubectl("wait", "--for=jsonpath={.status.backlog}=0", *_RESOURCES, here, timeout)


def await_dead_letters(cluster: Cluster, count: int) -> None:
    """Wait until the status tells that so many are dead; if it does not, it is shown as it is."""
    condition, here, timeout = (
        f"--for=jsonpath={{.status.deadLetters}}={count}",
        f"--namespace={NAMESPACE}",
        f"--timeout={STATUS_SECONDS}s",
    )
    with contextlib.suppress(CommandError):
        cluster.kubectl("wait", condition, *_RESOURCES[:3], here, timeout)


def start_ledger(cluster: Cluster) -> None:
    """Start the Job that reads the topics back."""
    cluster.apply(json.dumps(manifest("ledger.yaml")))


def await_ledger(cluster: Cluster) -> None:
    """Wait until the ledger's Job has ended. Whether it balances stands in its log."""
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
