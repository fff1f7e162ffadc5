"""What can befall a bridge: each fault strikes once, at a message of the stream, and leaves a bridge at work.

A partition from Valkey is made by a proxy. Pulsar's clients go where the broker's look-up sends them, past any proxy
that is not the broker's advertised address; so Pulsar is cut off by freezing the broker, which stalls but never resets,
and by killing it.
"""

import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.bed import REACH_SECONDS, Bed
from tests.faults.scenario import Point
from tests.integration.dataplane import unload, wait_for

SHORTEST, LONGEST = 0.1, 0.8
"""How many messages lie between two faults, in seconds of the traffic's rate."""
RECOVERY_SECONDS = 30.0
"""How long a fault waits for the bridge to have recovered from the one before."""
HASTE = 0.3
"""The share of faults that strike before the bridge has recovered from the one before."""


@dataclass(frozen=True)
class Fault:
    """One fault, with all that is random about it decided."""

    name: str
    strike: Callable[[Bed], None]
    point: str | None = None
    """Where the bridge must be armed to die, for a fault that is such a death."""


def killed(bed: Bed) -> None:
    """`kill -9` of the bridge, anywhere."""
    _await_moment(bed)
    bed.replace(bed.successor_point)


def died(point: str) -> Callable[[Bed], None]:
    """`kill -9` of the bridge at *point*."""

    def strike(bed: Bed) -> None:
        if bed.point != point:
            bed.replace(point)
        bed.bury(bed.bridge)
        bed.struck = bed.traffic.accepted
        bed.succeed(bed.start(bed.successor_point), bed.successor_point)

    return strike


def frozen(bed: Bed) -> None:
    """SIGSTOP for longer than the lease; another replica takes over; SIGCONT for the first."""
    _await_moment(bed)
    first, before = bed.bridge, bed.owner()
    first.signal(signal.SIGSTOP)
    second = bed.start()
    if before is None:
        # no lease in this direction: the broker must forget the frozen consumer, as it does after a minute
        unload(bed.servers.pulsar, bed.servers.topic)
    else:
        wait_for(lambda: bed.owner() != before, "another replica takes over", REACH_SECONDS)
    bed.succeed(second)
    wait_for(lambda: second.metric("headrace_bridge_forwarded_total") > 0, "the second moves", REACH_SECONDS)
    first.signal(signal.SIGCONT)
    if before is not None:
        wait_for(lambda: "another replica holds the lease" in first.log(), "the first notices", REACH_SECONDS)
    bed.traffic.wait_for(bed.traffic.accepted + bed.traffic.rate // 10)
    first.kill()


def valkey_killed(bed: Bed) -> None:
    """`kill -9` of Valkey and its restart."""
    _await_moment(bed)
    bed.servers.valkey.kill()
    bed.servers.valkey.start()


def pulsar_killed(bed: Bed) -> None:
    """`kill -9` of Pulsar and its restart."""
    _await_moment(bed)
    bed.servers.pulsar.kill()
    bed.servers.pulsar.start()


def pulsar_stalled(bed: Bed) -> None:
    """Pulsar does not answer for a second or two; nothing is lost on the way."""
    _await_moment(bed)
    bed.servers.pulsar.freeze()
    time.sleep(bed.chance.uniform(0.5, 2.0))
    bed.servers.pulsar.thaw()


def valkey_stalled(bed: Bed) -> None:
    """Nothing passes between bridge and Valkey for a second or two, then all of it."""
    _await_moment(bed)
    bed.servers.proxy.stall()
    time.sleep(bed.chance.uniform(0.5, 2.0))
    bed.servers.proxy.resume()


def valkey_reset(bed: Bed) -> None:
    """The connections to Valkey are reset."""
    _await_moment(bed)
    bed.servers.proxy.reset()


def answer_lost(bed: Bed) -> None:
    """Valkey has done what it was asked to, and the connections are reset instead of the answer."""
    _await_moment(bed)
    bed.servers.proxy.lose_an_answer()


def _await_moment(bed: Bed) -> None:
    """Wait for a random message, and for the bridge to have recovered unless this fault is hasty.

    The control is always struck in haste: it moves one message at a time and hardly keeps up.
    """
    gap, hasty = bed.chance.uniform(SHORTEST, LONGEST), bed.control or bed.chance.random() < HASTE
    bed.traffic.wait_for(bed.traffic.accepted + int(gap * bed.traffic.rate))
    if not hasty:
        # one that lost too much never catches up: the count at the end says so, not this
        with suppress(AssertionError):
            wait_for(bed.caught_up, "the bridge has recovered", RECOVERY_SECONDS)
    bed.struck = bed.traffic.accepted


DEATHS: Mapping[str, tuple[Callable[[Bed], None], int]] = {"killed": (killed, 4)}
OTHERS: Mapping[str, tuple[Callable[[Bed], None], int]] = {
    "frozen past the lease": (frozen, 1),
    "Valkey killed": (valkey_killed, 2),
    "Valkey stalled": (valkey_stalled, 1),
    "Valkey reset": (valkey_reset, 1),
    "Valkey's answer lost": (answer_lost, 2),
    "Pulsar stalled": (pulsar_stalled, 1),
}
NIGHTLY: Mapping[str, tuple[Callable[[Bed], None], int]] = {"Pulsar killed": (pulsar_killed, 1)}
"""Faults with their weights; the last ones take long."""


def deal(
    points: Mapping[str, Point], number: int, chance: random.Random, *, only_deaths: bool, nightly: bool
) -> list[Fault]:
    """That many faults. Each one of the deck comes before any comes again.

    *only_deaths*: nothing but `kill -9` of the bridge. *nightly*: with what takes long.
    """
    table = {**DEATHS, **({} if only_deaths else OTHERS), **(NIGHTLY if nightly else {})}
    dealt: list[Fault] = []
    while len(dealt) < number:
        deck = [Fault(name, strike) for name, (strike, weight) in table.items() for _ in range(weight)]
        for name, point in points.items():
            call = f"{point.call}#{chance.randint(1, point.most)}"
            deck.append(Fault(f"killed {name}", died(call), call))
        chance.shuffle(deck)
        dealt += deck
    return dealt[:number]
