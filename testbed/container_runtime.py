"""Containerd running for the cluster, or alone for a moment to forget containers of a former run."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence

from testbed import node, process
from testbed.image_store import ImageStore
from testbed.layout import LOGS, RECORDS, RUN, containerd_root
from testbed.programs import container_programs

START_SECONDS = 20


def start_containerd(enter: Sequence[str]) -> tuple[process.Recorded, ImageStore]:
    """Start containerd inside the cluster's network and mounts (`enter`); return it when it answers."""
    return _start(enter, with_kubernetes=True)


@contextlib.contextmanager
def bare_containerd() -> Iterator[ImageStore]:
    """Containerd without its Kubernetes part, which would recover the containers to be forgotten."""
    # What it finds of former tasks it would clean up through their runtime, out here and not in our namespaces.
    for folder in (RUN / "containerd", containerd_root() / "io.containerd.runtime.v2.task"):
        shutil.rmtree(folder, ignore_errors=True)
    containerd, images = _start([], with_kubernetes=False)
    try:
        yield images
    finally:
        containerd.end()


def _start(enter: Sequence[str], *, with_kubernetes: bool) -> tuple[process.Recorded, ImageStore]:
    RUN.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    programs = container_programs()
    images = ImageStore(programs["ctr"])
    command = node.containerd(programs["containerd"], programs["runc"], with_kubernetes=with_kubernetes)
    log = LOGS / "containerd.log"
    started = process.start("containerd", [*enter, *command], records=RECORDS, log=log)
    process.wait_until(images.answers, START_SECONDS, f"containerd does not answer, see {log}")
    return started, images
