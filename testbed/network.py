"""The cluster's network: a namespace that reaches this machine by one cable and nothing else at all.

It has no default route, so nothing leaks out of it, and the packet filter rules of kube-proxy and CNI stay
inside. This machine gets two routes, to pods and to Services, so that tests reach them directly.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.layout import (
    HOST_ADDRESS,
    HOST_DEVICE,
    NODE_ADDRESS,
    POD_RANGE,
    SERVICE_RANGE,
)


def create(namespace: int, enter: Sequence[str]) -> None:
    """Lay the cable into the namespace of process `namespace`, make addresses and routes.

    `enter`: the words that run a command inside. Raises RuntimeError with what `ip` said.
    """
    _ip("link", "add", HOST_DEVICE, "type", "veth", "peer", "name", "eth0", "netns", str(namespace))
    _ip("address", "add", f"{HOST_ADDRESS}/30", "dev", HOST_DEVICE)
    _ip("link", "set", HOST_DEVICE, "up")
    _run(*enter, "ip", "address", "add", f"{NODE_ADDRESS}/30", "dev", "eth0")
    _run(*enter, "ip", "link", "set", "eth0", "up")
    _run(*enter, "ip", "link", "set", "lo", "up")
    # The node itself needs some route to Services, for kube-proxy's rules to see its packets.
    _run(*enter, "ip", "route", "add", SERVICE_RANGE, "dev", "lo")
    for destination in (POD_RANGE, SERVICE_RANGE):
        _ip("route", "add", destination, "via", NODE_ADDRESS, "dev", HOST_DEVICE)
    # /proc/sys/net shows the namespace of the process that looks
    _run(*enter, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def remove() -> None:
    """Remove cable and routes, if they exist."""
    if device_exists():
        # the routes go with the device, the other end of the cable too
        _ip("link", "delete", HOST_DEVICE)


def device_exists() -> bool:
    """Whether this machine's end of the cable is there."""
    return Path("/sys/class/net", HOST_DEVICE).exists()


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {outcome.stderr.strip()}")
