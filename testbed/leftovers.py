"""What a test bed leaves on the machine while it runs, or after a crash; found and removed here."""

import shutil
import signal

from testbed import cache, isolation, network, process
from testbed.container_runtime import bare_containerd
from testbed.layout import DATA, HOST_DEVICE, RECORDS, RUN, containers_to_forget

# Ended first, so that it does not start containers anew.
FIRST = ("kubelet", "kube-controller-manager")


def listed() -> list[str]:
    """One line for each thing that is there: processes, network, cgroups, folders."""
    recorded = list(process.recorded(RECORDS))
    known = {each.identity for each in recorded}
    unrecorded = [identity for identity in isolation.inside() if identity not in known]
    folders = [folder for folder in (RUN, DATA) if folder.exists()]
    folders += isolation.mount_points()
    return [
        *(f"process {each.identity.process_id}: {each.name}" for each in recorded),
        *(f"process {identity.process_id}: a container's" for identity in unrecorded),
        *(f"process {each.identity.process_id}: {each.name} of an ended test run" for each in process.orphans()),
        *([f"network device {HOST_DEVICE}"] if network.device_exists() else []),
        *(f"cgroup {cgroup}" for cgroup in isolation.cgroup_branches()),
        *(f"folder {folder}" for folder in folders),
        *(["containers written down in containerd's store"] if containers_to_forget().exists() else []),
    ]


def remove() -> None:
    """Remove all of it. Raises TimeoutError for a process or cgroup that does not end."""
    running = list(process.recorded(RECORDS))
    for each in running:
        if each.name in FIRST:
            each.end(5)
    # Containers and their shims; a shim may be starting one just now, so until there are none.
    process.wait_until(_nobody_inside, 20, "processes in the cluster's mounts do not end")
    for each in running:
        each.end(5)
    remove_orphans()
    network.remove()
    isolation.remove_cgroups()
    if containers_to_forget().exists():
        with bare_containerd() as images:
            images.forget_containers()
    isolation.uncover()
    shutil.rmtree(DATA, ignore_errors=True)
    _remove_run()
    cache.remove_unfinished()


def remove_orphans() -> None:
    """End the loopback servers of test runs that are over."""
    for orphan in process.orphans():
        orphan.end(5)


def _nobody_inside() -> bool:
    found = list(isolation.inside())
    for identity in found:
        identity.signal(signal.SIGKILL)
    return not found


def _remove_run() -> None:
    """Remove the folder of running state, but not the records of servers other test runs still use."""
    owned = RUN / "owned"
    if not RUN.exists():
        return
    for entry in RUN.iterdir():
        if entry == owned:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if owned.exists():
        for folder in owned.iterdir():
            if not any(folder.iterdir()):
                folder.rmdir()
        if not any(owned.iterdir()):
            owned.rmdir()
    if not any(RUN.iterdir()):
        RUN.rmdir()
