"""What can befall the bridge itself: killed, frozen, or replaced while it lives."""

import signal
import time
from collections.abc import Callable

from tests.faults.bed import Bed
from tests.faults.network import PATIENCE_SECONDS
from tests.faults.proxy import Proxy
from tests.integration.dataplane import wait_for

Side = Callable[[Bed], Proxy]
Strike = Callable[[Bed], None]


def to_valkey(bed: Bed) -> Proxy:
    """The bridge's way to Valkey."""
    return bed.network.valkey


def to_pulsar(bed: Bed) -> Proxy:
    """The bridge's way to Pulsar."""
    return bed.network.pulsar


def killed(bed: Bed) -> None:
    """`kill -9` of the bridge, anywhere."""
    bed.await_moment()
    bed.replace(bed.successor_point)


def killed_at(point: str) -> Strike:
    """`kill -9` of the bridge at *point*."""

    def strike(bed: Bed) -> None:
        _arm(bed, point)
        bed.bury(bed.bridge)
        bed.struck = bed.traffic.accepted
        bed.succeed(bed.start(bed.successor_point), bed.successor_point)

    return strike


def killed_cut_off(side: Side) -> Strike:
    """`kill -9` of the bridge while it is cut off from one *side*, with an answer or a question on its way.

    What it had sent is lost, or arrives when its successor is at work already.
    """

    def strike(bed: Bed) -> None:
        bed.await_moment()
        way = side(bed)
        way.stall()
        bed.flow(bed.chance.uniform(0.3, 1.0))
        bed.bridge.kill()
        late = bed.chance.random() < 0.5
        if not late:
            way.restore()
        bed.bury(bed.bridge)
        bed.succeed(bed.start(bed.successor_point, beside=late), bed.successor_point)
        if late:
            way.resume()

    return strike


def frozen_at(point: str) -> Strike:
    """SIGSTOP of the bridge at *point*, for a moment that nobody notices, and SIGCONT."""

    def strike(bed: Bed) -> None:
        _await_stop(bed, point)
        time.sleep(bed.chance.uniform(0.3, 1.5))
        bed.bridge.signal(signal.SIGCONT)
        bed.point = None

    return strike


def replaced_at(point: str) -> Strike:
    """SIGSTOP of the bridge at *point* for so long that another replica takes over; SIGCONT for the first."""

    def strike(bed: Bed) -> None:
        _await_stop(bed, point)
        _replace_stopped(bed)

    return strike


def replaced(bed: Bed) -> None:
    """The same, anywhere."""
    bed.await_moment()
    bed.bridge.signal(signal.SIGSTOP)
    _replace_stopped(bed)


def replaced_cut_off(bed: Bed) -> None:
    """Cut off from the side that chooses who works, another replica takes over; then both reach everything again."""
    bed.await_moment()
    by_pulsar = "Pulsar" in bed.scenario.sides and not bed.scenario.leased
    way = to_pulsar(bed) if by_pulsar else to_valkey(bed)
    way.stall()
    _take_over(bed, way.resume)


def _arm(bed: Bed, point: str) -> None:
    if bed.point != point:
        bed.replace(point)


def _await_stop(bed: Bed, point: str) -> None:
    _arm(bed, point)
    wait_for(lambda: bed.bridge.frozen(), f"the bridge stops at {point}", PATIENCE_SECONDS)
    bed.struck = bed.traffic.accepted


def _replace_stopped(bed: Bed) -> None:
    first = bed.bridge
    _take_over(bed, lambda: first.signal(signal.SIGCONT))


def _take_over(bed: Bed, bring_back: Callable[[], None]) -> None:
    """Another replica takes over, then the first comes back, and gives in."""
    first, before = bed.bridge, bed.scenario.owners()
    said = len(first.log())
    second = bed.start(beside=True)
    bed.scenario.dispossess(before)
    bed.succeed(second)
    wait_for(lambda: bed.scenario.moves(second), "the second moves", PATIENCE_SECONDS)
    bring_back()
    if bed.scenario.leased and not bed.mutant:
        wait_for(lambda: bed.scenario.gave_in(first, said), "the first notices", PATIENCE_SECONDS)
    if bed.mutant:
        wait_for(lambda: first.get("/livez")[0], "the first is awake", PATIENCE_SECONDS)
    bed.flow(2.0 if bed.mutant else 0.1)
    first.kill()
