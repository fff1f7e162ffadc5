"""What can befall the bridge's rights at Valkey and Pulsar: taken from it while it works, and given back."""

from collections.abc import Callable
from typing import Any

from tests.faults.bed import Bed
from tests.faults.deaths import Strike
from tests.faults.scenario import LIST, PREFIX
from tests.faults.telling import Fits, await_trouble, has_bridge, hold
from tests.integration.dataplane import forbid, permit, unload

BRIDGE = "default"
"""The user that the bridge is in Valkey; producers and the harness are another."""
EVERYTHING = ("reset", "on", "nopass", "~*", "&*", "+@all")
REFUSED = r"NOPERM|permission|NOAUTH|authenticat"
HARNESS_ALONE = frozenset({"acl|setuser", "client|kill", "config|resetstat", "info"})
Rules = Callable[[Bed, Any], tuple[str, ...]]
"""Chooses what is taken away: rules of `ACL SETUSER`."""


def revoked(rules: Rules) -> Strike:
    """Take away what *rules* say, while all runs; give it back after a while."""

    def strike(bed: Bed) -> None:
        await_trouble(bed)
        with bed.servers.valkey.client() as client:
            client.execute_command("ACL", "SETUSER", BRIDGE, *rules(bed, client))
            try:
                hold(bed, REFUSED)
            finally:
                client.execute_command("ACL", "SETUSER", BRIDGE, *EVERYTHING)

    return strike


def all_commands(bed: Bed, client: Any) -> tuple[str, ...]:
    """It may do nothing."""
    return ("-@all",)


def one_command(bed: Bed, client: Any) -> tuple[str, ...]:
    """It may not use one of the commands that this server has seen."""
    commands = {name.removeprefix("cmdstat_") for name in client.info("commandstats")} - HARNESS_ALONE
    command = bed.chance.choice(sorted(commands))
    bed.remark(command)
    return (f"-{command}",)


def command(name: str) -> Rules:
    """It may not use one certain command."""
    return lambda bed, client: (f"-{name}",)


def one_key(bed: Bed, client: Any) -> tuple[str, ...]:
    """It may not touch one of the keys that are there."""
    present = [key for key in sorted(client.scan_iter(match="*")) if key == LIST or key.startswith(PREFIX)]
    denied = bed.chance.choice(present)
    bed.remark(denied.removeprefix(PREFIX))
    return ("resetkeys", *(f"~{pattern}" for pattern in all_but(denied)))


def all_but(key: str) -> list[str]:
    """Patterns that fit every name but *key*: each beginning of it alone, with another letter behind, and what is
    longer."""
    patterns = [f"{key}?*"]
    for place, letter in enumerate(key):
        patterns.append(f"{key[:place]}[^{letter}]*")
        if place:
            patterns.append(key[:place])
    return patterns


def no_channels(bed: Bed, client: Any) -> tuple[str, ...]:
    """It may not publish, nor subscribe."""
    return ("resetchannels",)


def logged_off(bed: Bed) -> None:
    """The user is switched off and its connections are closed; then it is switched on again."""
    await_trouble(bed)
    with bed.servers.valkey.client() as client:
        client.execute_command("ACL", "SETUSER", BRIDGE, "off")
        client.execute_command("CLIENT", "KILL", "USER", BRIDGE)
        try:
            hold(bed, REFUSED)
        finally:
            client.execute_command("ACL", "SETUSER", BRIDGE, "on")


def forbidden(bed: Bed) -> None:
    """Its role may neither produce nor consume at Pulsar; the broker asks when it connects."""
    await_trouble(bed)
    servers = bed.servers
    with servers.pulsar.turn():
        forbid(servers.pulsar, servers.role)
        try:
            unload(servers.pulsar, servers.topic)
            hold(bed, r"authoriz|permission|permitted|HTTP Error 40[13]")
        finally:
            permit(servers.pulsar, servers.role)


RIGHTS: dict[str, tuple[Strike, Fits]] = {
    "all rights revoked": (revoked(all_commands), has_bridge),
    "the right to one command revoked": (revoked(one_command), has_bridge),
    "the right to one key revoked": (revoked(one_key), has_bridge),
    "the right to channels revoked": (revoked(no_channels), has_bridge),
    "logged off": (logged_off, has_bridge),
    "Pulsar's permission revoked": (forbidden, has_bridge),
}
