"""Another bridge of the same namespace and name: in another cluster, or the same resource made anew."""

import json
import time
from typing import Any

from testbed.valkey import Valkey
from tests.faults.bed import Bed, ExactValkey
from tests.faults.deaths import Strike, to_pulsar
from tests.faults.scenario import LIST, PREFIX
from tests.faults.telling import Fits, Watch, await_trouble, has_bridge
from tests.faults.to_pulsar import NUMBER, ListToPulsar, StreamToPulsar
from tests.faults.topics import unload_topic
from tests.faults.traffic import payload
from tests.integration.dataplane import Headrace, wait_for

MESSAGES = 60
RATE = 30
"""Messages a second that the twin gets."""
STARTED_SECONDS = 60.0
REFUSED = r"another resource|another bridge|another cluster"


def same_valkey(bed: Bed) -> None:
    """A bridge of another uid, from another Kubernetes cluster, works with the same Valkey: it is told so."""
    await_trouble(bed)
    document = bed.scenario.document(bed.network)
    document["metadata"]["uid"] = "of another cluster"
    twin = Headrace.start("bridge", document, bed.directory)
    try:
        _await_started(twin)
        told = Watch(twin, REFUSED, strict=True).await_told(lambda: False)
        bed.untold += told is None
        bed.remark(told or "untold")
        bed.flow(bed.chance.uniform(0.3, 1.0))
    finally:
        twin.kill()


def other_valkey(bed: Bed) -> None:
    """A bridge of the same name in another cluster has a Valkey of its own, and the same sink topic, which is unloaded
    meanwhile. It moves its messages, or it is told why not."""
    await_trouble(bed)
    ledger = bed.scenario.ledger
    with ExactValkey(bed.directory / f"valkey-of-a-twin-{len(bed.story)}") as server:
        document = bed.scenario.document(bed.network)
        document["metadata"]["uid"] = "of another cluster"
        document["spec"]["valkey"]["url"] = server.url
        twin = Headrace.start("bridge", document, bed.directory)
        try:
            _await_started(twin)
            numbers = ledger.expect(MESSAGES)
            for place, number in enumerate(numbers):
                _give(bed, server, number)
                time.sleep(1 / RATE)
                if place == MESSAGES // 2:
                    unload_topic(bed)
            told = Watch(twin, REFUSED, strict=True).await_told(lambda: not _left(server))
            bed.untold += told is None
            bed.remark(told or "untold")
            twin.stop()
        finally:
            twin.kill()
        left, in_flight = _left(server), _in_flight(server)
    ledger.others[:] = [number for number in ledger.others if number not in left - in_flight]
    ledger.shared |= in_flight


def made_anew(bed: Bed) -> None:
    """The bridge is killed with a batch in flight, deleted, and made anew: another uid finds what is left."""
    await_trouble(bed)
    way = to_pulsar(bed)
    if landed := bed.chance.random() < 0.5:
        way.lose_an_answer()
    else:
        way.stall()
    bed.remark("with a batch that landed" if landed else "with a batch that did not land")
    bed.flow(bed.chance.uniform(0.1, 0.4))
    bed.bridge.kill()
    bed.scenario.uid += 1
    way.restore()
    bed.bury(bed.bridge)
    bed.succeed(bed.start(bed.successor_point), bed.successor_point)


def _await_started(one: Headrace) -> None:
    wait_for(lambda: '"started"' in one.log(), "the twin has started", STARTED_SECONDS)


def _give(bed: Bed, server: Valkey, number: int) -> None:
    with server.client() as client:
        if isinstance(bed.scenario, StreamToPulsar):
            client.xadd(LIST, {"payload": payload(number)})
        else:
            client.lpush(LIST, payload(number))


def _in_flight(server: Valkey) -> set[int]:
    with server.client() as client:
        entries: Any = client.lrange(f"{PREFIX}:cut", 0, -1)
    return {int(number) for entry in entries for number in NUMBER.findall(entry)}


def _left(server: Valkey) -> set[int]:
    """What the twin has not moved."""
    with server.client() as client:
        if client.type(LIST) == "stream":
            groups: Any = client.xinfo_groups(LIST)
            read = groups[0]["last-delivered-id"] if groups else "0-0"
            found: Any = client.xrange(LIST, min=f"({read}")
            waiting = [fields["payload"] for _, fields in found]
        else:
            waiting = client.lrange(LIST, 0, -1)
    return {json.loads(entry)["id"] for entry in waiting} | _in_flight(server)


def _to_pulsar(scenario: Any) -> bool:
    return issubclass(scenario, ListToPulsar)


TWINS: dict[str, tuple[Strike, Fits]] = {
    "twin with the same Valkey": (same_valkey, has_bridge),
    "twin with another Valkey": (other_valkey, _to_pulsar),
    "bridge made anew": (made_anew, has_bridge),
}
