"""What can befall the bridge's topic, its policies and its subscription while everything runs."""

import time
from contextlib import suppress
from urllib.error import HTTPError

import pulsar

from tests.faults.bed import Bed
from tests.faults.deaths import Strike
from tests.faults.network import PATIENCE_SECONDS
from tests.faults.scenario import Scenario
from tests.faults.telling import Fits, await_trouble, has_bridge, hold
from tests.faults.to_pulsar import ListToPulsar
from tests.faults.to_valkey import SUBSCRIPTION, LatestPulsarToList, PulsarToList
from tests.faults.traffic import TopicTraffic
from tests.integration.dataplane import (
    create_topic,
    delete_subscription,
    delete_topic,
    expire,
    grow_partitions,
    keep_messages,
    limit_backlog,
    partition_count,
    set_deduplication,
    skip_all,
    terminate,
    unlimit_backlog,
    unload,
    wait_for,
)

MOST_PARTITIONS = 4
SETTLED_SECONDS = 0.5
"""What has reached the broker is in the topic by then."""
FLOW_SECONDS = 0.5
MISSED = "headrace_bridge_missed_total"
MISSING = r"not.?found|does not exist|missing|not connected|cannot be read"


def unloaded(bed: Bed) -> None:
    """The broker closes the topic, and opens it again at the next use."""
    await_trouble(bed)
    unload_topic(bed)


def unload_topic(bed: Bed) -> None:
    """Let the broker close the topic."""
    with bed.servers.pulsar.turn():
        unload(bed.servers.pulsar, bed.servers.topic)


def subscription_deleted(bed: Bed) -> None:
    """The bridge's subscription is deleted by force, and messages come before the bridge is connected again."""
    await_trouble(bed)
    way = bed.network.pulsar
    way.stall()
    with bed.servers.pulsar.turn():
        delete_subscription(bed.servers.pulsar, bed.servers.topic, SUBSCRIPTION)
    bed.flow(bed.chance.uniform(0.3, 1.0))
    way.resume()


def sink_made_anew(bed: Bed) -> None:
    """The sink topic is deleted while a batch is in flight, and made anew with another number of partitions.

    The bridge is cut off meanwhile, so that the ledger knows what the deletion took.
    """
    scenario = bed.scenario
    assert isinstance(scenario, ListToPulsar)
    await_trouble(bed)
    way = bed.network.pulsar
    way.stall()
    bed.flow(bed.chance.uniform(0.3, 1.0))
    time.sleep(SETTLED_SECONDS)
    partitions = bed.chance.randint(1 if scenario.keyed else 0, MOST_PARTITIONS)
    with bed.servers.pulsar.turn():
        scenario.ledger.archive(scenario.found(), scenario.in_flight())
        scenario.ledger.ordered &= scenario.keyed or not partitions
        delete_topic(bed.servers.pulsar, bed.servers.topic)
        way.restore()
        hold(bed, MISSING)
        _make_anew(bed, partitions)


def source_made_anew(bed: Bed) -> None:
    """The source topic is deleted, with all in it read or some in flight, and made anew with other partitions."""
    traffic = bed.traffic
    assert isinstance(traffic, TopicTraffic)
    await_trouble(bed)
    way, in_flight = bed.network.valkey, bed.chance.random() < 0.5
    bed.remark("some in flight" if in_flight else "all read")
    if in_flight:
        way.stall()
        bed.flow(bed.chance.uniform(0.1, 0.5))
    with traffic.pause():
        if not in_flight:
            wait_for(bed.scenario.drained, "all is read", 60)
        with bed.servers.pulsar.turn():
            arrived = {message.number for message in bed.scenario.found()}
            bed.scenario.ledger.shared |= set(range(1, traffic.accepted + 1)) - arrived
            delete_topic(bed.servers.pulsar, bed.servers.topic)
            way.resume()
            hold(bed, MISSING)
            _make_anew(bed, bed.chance.randint(1, MOST_PARTITIONS))


def sink_terminated(bed: Bed) -> None:
    """The sink topic is terminated, and takes nothing any more; then it is deleted, and made anew."""
    scenario = bed.scenario
    assert isinstance(scenario, ListToPulsar)
    await_trouble(bed)
    with bed.servers.pulsar.turn():
        terminate(bed.servers.pulsar, bed.servers.topic)
        hold(bed, r"terminated")
        scenario.ledger.archive(scenario.found(), scenario.in_flight())
        delete_topic(bed.servers.pulsar, bed.servers.topic)
        _make_anew(bed, scenario.partitions)


def source_terminated(bed: Bed) -> None:
    """The source topic is terminated while messages wait, for Valkey does not answer; when all is read, it is deleted,
    and made anew."""
    traffic = bed.traffic
    assert isinstance(traffic, TopicTraffic)
    await_trouble(bed)
    way = bed.network.valkey
    way.stall()
    bed.flow(bed.chance.uniform(0.1, 0.5))
    with traffic.pause(), bed.servers.pulsar.turn():
        terminate(bed.servers.pulsar, bed.servers.topic)
        way.resume()
        wait_for(bed.scenario.drained, "all is read", PATIENCE_SECONDS)
        delete_topic(bed.servers.pulsar, bed.servers.topic)
        hold(bed, MISSING)
        _make_anew(bed, bed.chance.randint(1, MOST_PARTITIONS))


def expired(bed: Bed) -> None:
    """Messages expire while the bridge is dead. When it is back it tells of those that it never read."""
    traffic, broker, topic = bed.traffic, bed.servers.pulsar, bed.servers.topic
    assert isinstance(traffic, TopicTraffic)
    await_trouble(bed)
    # else nobody knows that it would have read them
    wait_for(lambda: bed.scenario.moves(bed.bridge), "the bridge has read something", PATIENCE_SECONDS)
    bed.bridge.kill()
    bed.bury(bed.bridge)
    bed.flow(FLOW_SECONDS)
    with traffic.pause(), broker.turn():

        def gone() -> bool:
            for number in range(partition_count(broker, topic)):
                with suppress(HTTPError):  # it is at it
                    expire(broker, f"{topic}-partition-{number}", SUBSCRIPTION)
            return bed.scenario.drained()

        wait_for(gone, "all expire", PATIENCE_SECONDS)
        arrived = {message.number for message in bed.scenario.found()}
        never_read = set(range(1, traffic.accepted + 1)) - arrived
        bed.scenario.ledger.shared |= never_read
    bed.succeed(bed.start(bed.successor_point), bed.successor_point)
    told = not never_read
    with suppress(AssertionError):
        told = told or wait_for(lambda: bed.bridge.metric(MISSED) > 0, "it is told", PATIENCE_SECONDS)
    bed.untold += not told
    bed.remark(f"{len(never_read)} never read, {'told' if told else 'untold'}")


def _make_anew(bed: Bed, partitions: int) -> None:
    bed.remark(f"{partitions} partitions")
    create_topic(bed.servers.pulsar, bed.servers.topic, partitions)
    keep_messages(bed.servers.pulsar, bed.servers.topic)


def partitions_grown(bed: Bed) -> None:
    """The topic gets one more partition, to which keys move."""
    await_trouble(bed)
    bed.scenario.ledger.ordered = False
    with bed.servers.pulsar.turn():
        grow_partitions(
            bed.servers.pulsar, bed.servers.topic, partition_count(bed.servers.pulsar, bed.servers.topic) + 1
        )
    if isinstance(bed.traffic, TopicTraffic):
        with bed.traffic.pause():
            pass  # the next producer knows them


def deduplication_off(bed: Bed) -> None:
    """The topic's deduplication is switched off for a while."""
    await_trouble(bed)
    set_deduplication(bed.servers.pulsar, bed.servers.topic, False)
    try:
        hold(bed, r"dedup")
    finally:
        set_deduplication(bed.servers.pulsar, bed.servers.topic, True)


def over_quota(bed: Bed) -> None:
    """The topic is over its backlog quota for a while, and takes no messages."""
    await_trouble(bed)
    with bed.servers.pulsar.turn():
        limit_backlog(bed.servers.pulsar, bed.servers.topic, 1)
        try:
            hold(bed, r"quota")
        finally:
            skip_all(bed.servers.pulsar, bed.servers.topic)
            unlimit_backlog(bed.servers.pulsar, bed.servers.topic)


def admin_away(bed: Bed) -> None:
    """The admin API does not answer for a while."""
    await_trouble(bed)
    way = bed.network.admin
    way.stall()
    try:
        hold(bed, r"admin|timed out")
    finally:
        way.restore()


def _from_pulsar(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, PulsarToList)


def _in_order(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, PulsarToList) and scenario.subscription_type is pulsar.ConsumerType.Failover


def _from_latest(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, LatestPulsarToList)


def _from_earliest(scenario: type[Scenario]) -> bool:
    return _from_pulsar(scenario) and not _from_latest(scenario)


def _to_pulsar(scenario: type[Scenario]) -> bool:
    return issubclass(scenario, ListToPulsar)


def _partitioned(scenario: type[Scenario]) -> bool:
    return _from_pulsar(scenario) or (issubclass(scenario, ListToPulsar) and bool(scenario.partitions))


TOPICS: dict[str, tuple[Strike, Fits]] = {
    "topic unloaded": (unloaded, has_bridge),
    "subscription deleted": (subscription_deleted, _from_earliest),
    "subscription deleted that begins at the end": (subscription_deleted, _from_latest),
    "sink topic made anew": (sink_made_anew, _to_pulsar),
    "source topic made anew": (source_made_anew, _from_pulsar),
    "sink topic terminated": (sink_terminated, _to_pulsar),
    "source topic terminated": (source_terminated, _from_pulsar),
    "messages expired": (expired, _in_order),
    "partitions grown": (partitions_grown, _partitioned),
    "deduplication off": (deduplication_off, _to_pulsar),
    "over quota": (over_quota, _to_pulsar),
    "admin API away": (admin_away, has_bridge),
}
