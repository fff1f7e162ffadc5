"""What can befall Valkey, Pulsar and the network between them and the bridge."""

import time

from tests.faults.bed import Bed
from tests.faults.deaths import Side, Strike

SHORT = (0.3, 1.5)
"""Seconds that no timeout notices."""
LONG = (16.0, 18.0)
"""Seconds that outlast the lease (6 s), Valkey's connections (10 s) and the client's operations on Pulsar (15 s)."""


def valkey_killed(bed: Bed) -> None:
    """`kill -9` of Valkey and its restart."""
    bed.await_moment()
    bed.servers.valkey.kill()
    bed.servers.valkey.start()


def valkey_frozen(bed: Bed) -> None:
    """SIGSTOP of Valkey, and SIGCONT."""
    bed.await_moment()
    bed.servers.valkey.freeze()
    time.sleep(bed.chance.uniform(*SHORT))
    bed.servers.valkey.thaw()


def pulsar_killed(bed: Bed) -> None:
    """`kill -9` of Pulsar and its restart. All runs that use it feel it."""
    bed.await_moment()
    with bed.servers.pulsar.turn():
        bed.servers.pulsar.tell("Pulsar killed by another run", bed.hear)
        bed.servers.pulsar.kill()
        bed.servers.pulsar.start()


def pulsar_frozen(seconds: tuple[float, float]) -> Strike:
    """SIGSTOP of Pulsar, and SIGCONT after some *seconds*."""

    def strike(bed: Bed) -> None:
        bed.await_moment()
        with bed.servers.pulsar.turn():
            bed.servers.pulsar.tell("Pulsar frozen by another run", bed.hear)
            bed.servers.pulsar.freeze()
            time.sleep(bed.chance.uniform(*seconds))
            bed.servers.pulsar.thaw()

    return strike


def cut_off(side: Side, seconds: tuple[float, float]) -> Strike:
    """Nothing passes between the bridge and one *side* for some *seconds*; then all of it, or only what is new."""

    def strike(bed: Bed) -> None:
        bed.await_moment()
        way = side(bed)
        way.stall()
        time.sleep(bed.chance.uniform(*seconds))
        if bed.chance.random() < 0.5:
            way.resume()
        else:
            way.restore()

    return strike


def reset(side: Side) -> Strike:
    """The connections to one *side* are reset."""

    def strike(bed: Bed) -> None:
        bed.await_moment()
        side(bed).reset()

    return strike


def answer_lost(side: Side) -> Strike:
    """One *side* has done what it was asked to, and the connections are reset instead of the answer."""

    def strike(bed: Bed) -> None:
        bed.await_moment()
        side(bed).lose_an_answer()

    return strike
