"""Another bridge of the same namespace and name: in another cluster, or the same resource made anew."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pulsar

from testbed.valkey import Valkey
from tests.faults.bed import Bed, ExactValkey
from tests.faults.deaths import Strike, to_pulsar
from tests.faults.network import PATIENCE_SECONDS
from tests.faults.scenario import LIST, PREFIX
from tests.faults.telling import Fits, Watch, await_trouble, has_bridge
from tests.faults.to_pulsar import NUMBER, ListToPulsar, StreamToPulsar
from tests.faults.to_valkey import PulsarToList
from tests.faults.topics import unload_topic
from tests.faults.traffic import TopicTraffic, payload
from tests.integration.dataplane import Headrace, topic_account, wait_for

MESSAGES = 60
RATE = 30
"""Messages a second that the twin gets."""
MOVED_SECONDS = 60.0
MUTANT_SECONDS = 10.0
"""How long the twin may take to move what it got."""
STARTED_SECONDS = 60.0
REPLACED_SHARE = 0.5
"""How often the first bridge is killed and started again beside its twin."""
FOREIGN_SECONDS = 0.5
"""How much lies below a position that is not ours, in seconds of the traffic's rate."""
REFUSED = r"another resource|another bridge|another cluster"


@contextmanager
def _twin(bed: Bed, url: str | None = None) -> Iterator[Headrace]:
    """A bridge of another uid, from another cluster, with the Valkey at *url* or that of the first bridge."""
    document = bed.scenario.document(bed.network)
    document["metadata"]["uid"] = "of another cluster"
    if url is not None:
        document["spec"]["valkey"]["url"] = url
    twin = bed.launch(document)
    try:
        _await_started(twin)
        yield twin
    finally:
        twin.kill()


def _own_valkey(bed: Bed) -> ExactValkey:
    return ExactValkey(bed.directory / f"valkey-of-a-twin-{len(bed.story)}")


def _await_refusal(bed: Bed, twin: Headrace) -> None:
    told = Watch(twin, REFUSED, strict=True).await_told()
    bed.untold += told is None
    bed.remark(told or "untold")


def same_valkey(bed: Bed) -> None:
    """A twin works with the same Valkey: it is told so."""
    await_trouble(bed)
    with _twin(bed) as twin:
        _await_refusal(bed, twin)
        bed.flow(bed.chance.uniform(0.3, 1.0))


def other_valkey(bed: Bed) -> None:
    """A bridge of the same name in another cluster has a Valkey of its own, and the same sink topic, which is unloaded
    meanwhile. Both move what is theirs."""
    await_trouble(bed)
    ledger = bed.scenario.ledger
    with _own_valkey(bed) as server:
        with _twin(bed, server.url) as twin:
            numbers = ledger.expect(MESSAGES)
            for place, number in enumerate(numbers):
                _give(bed, server, number)
                time.sleep(1 / RATE)
                if place == MESSAGES // 2:
                    unload_topic(bed)
            with suppress(AssertionError):
                wait_for(
                    lambda: not _left(server), "the twin moves all", MUTANT_SECONDS if bed.mutant else MOVED_SECONDS
                )
            if waiting := len(_left(server)):
                bed.untold += 1
                bed.remark(f"{waiting} wait at the twin")
            twin.stop()
        left, in_flight = _left(server), _in_flight(server)
    ledger.others[:] = [number for number in ledger.others if number not in left - in_flight]
    ledger.shared |= in_flight


def other_valkey_inward(bed: Bed) -> None:
    """A bridge of the same name in another cluster has a Valkey of its own, and the same subscription. It is told so,
    and takes nothing: neither while the topic is unloaded, nor while the first bridge is replaced."""
    await_trouble(bed)
    with _own_valkey(bed) as server:
        with _twin(bed, server.url) as twin:
            _await_refusal(bed, twin)
            bed.flow(bed.chance.uniform(0.1, 0.5))
            unload_topic(bed)
            bed.flow(bed.chance.uniform(0.3, 1.0))
            if bed.chance.random() < REPLACED_SHARE:
                bed.remark("replaced")
                bed.replace(bed.successor_point)
        bed.remark(f"{_taken(server)} taken")


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


def another_cluster(bed: Bed) -> None:
    """The bridge is stopped, and finds at its start what it would remember of another Pulsar cluster, whose ledgers
    have the same numbers: of each partition a position that the traffic passed meanwhile, with a message there that is
    none of this topic."""
    await_trouble(bed)
    traffic, broker = bed.traffic, bed.servers.pulsar
    assert isinstance(traffic, TopicTraffic)
    with traffic.pause():
        wait_for(bed.scenario.drained, "all is read", PATIENCE_SECONDS)
        bed.bridge.kill()
        bed.bury(bed.bridge)
    with bed.servers.valkey.client() as client:
        bed.flow(FOREIGN_SECONDS)
        with broker.turn():
            account = topic_account(broker, bed.servers.topic)
        for name, partition in account.items():
            ledger, entry = partition["internal"]["lastConfirmedEntry"].split(":")
            place, full_name = f"{ledger}:{entry}", f"{bed.servers.topic.rpartition('/')[0]}/{name}"
            client.hset(f"{PREFIX}:watermark", full_name, f"{place}:-1")
            client.hset(f"{PREFIX}:witness", full_name, f"0 {place}:-1:{place}:0123456789abcdef")
    bed.succeed(bed.start(bed.successor_point), bed.successor_point)
    if not bed.mutant:
        # the memory of this cluster is gone: while it is not there again, nothing else may go wrong
        with traffic.pause():
            wait_for(bed.scenario.drained, "all is read", PATIENCE_SECONDS)


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


def _taken(server: Valkey) -> int:
    """How much the twin took. It arrived where nobody counts it."""
    with server.client() as client:
        return int(client.xlen(LIST) if client.type(LIST) == "stream" else client.llen(LIST))


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


def _from_pulsar(scenario: Any) -> bool:
    return issubclass(scenario, PulsarToList)


def _in_order(scenario: Any) -> bool:
    return issubclass(scenario, PulsarToList) and scenario.subscription_type is pulsar.ConsumerType.Failover


TWINS: dict[str, tuple[Strike, Fits]] = {
    "twin with the same Valkey": (same_valkey, has_bridge),
    "twin with another Valkey": (other_valkey, _to_pulsar),
    "twin with another Valkey and the same subscription": (other_valkey_inward, _from_pulsar),
    "bridge made anew": (made_anew, has_bridge),
    "state of another cluster": (another_cluster, _in_order),
}
