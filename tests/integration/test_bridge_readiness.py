"""A bridge is ready while each of its loops moves something, or has just proved that it could; else it says why."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pulsar
import pytest

from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.integration.dataplane import Headrace, Processes, connections, resource, wait_for
from tests.integration.guarded_pulsar import GuardedPulsar, server_path
from tests.integration.pulsar_tokens import token
from tests.integration.readiness import ALL, AUTH, SECRETS, allow, await_recovery, await_trouble

ROLE = "bridge"
ROOT = "persistent://public/default"
PERMISSION = f"/admin/v2/namespaces/public/default/permissions/{ROLE}"
RIGHTS = ["produce", "consume"]
RETRY = {
    "retry": {"maxAttempts": 3, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
    "cache": {"prefix": "cache:", "key": "id", "ttlSeconds": 60},
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedPulsar]:
    with GuardedPulsar(tmp_path_factory.mktemp("pulsar")) as server:
        server.admin("POST", PERMISSION, RIGHTS)
        yield server
        server.kill()


@pytest.fixture
def topic(broker: GuardedPulsar) -> str:
    name = broker.create_topic(f"{ROOT}/ready-{uuid.uuid4().hex[:8]}")
    for dead in (f"{name}-DLQ", f"{name}-shop-DLQ", f"{name}-shop-RETRY"):
        broker.create_topic(dead)
    return name


def start(
    processes: Processes,
    valkey: Valkey,
    broker: GuardedPulsar,
    source: dict[str, Any],
    sink: dict[str, Any],
    pulsar_options: dict[str, Any] | None = None,
    **more: Any,
) -> Headrace:
    allow(valkey, *ALL)
    brokers = connections(valkey, broker)
    brokers["valkey"]["auth"] = AUTH
    brokers["pulsar"] |= pulsar_options or {}
    brokers["pulsar"]["auth"] = {"tokenSecretRef": {"name": "pulsar", "key": "token"}}
    document = resource("PulsarBridge", "b", {"source": source, "sink": sink, **more, **brokers})
    return processes.start("bridge", document, secrets={**SECRETS, "pulsar/token": token(ROLE)})


def outward(processes: Processes, valkey: Valkey, broker: GuardedPulsar, topic: str, **more: Any) -> Headrace:
    source = {"valkey": {"list": {"key": "orders"}}}
    return start(processes, valkey, broker, source, {"pulsar": {"topic": topic}}, **more)


def inward(processes: Processes, valkey: Valkey, broker: GuardedPulsar, topic: str, **more: Any) -> Headrace:
    source = {"pulsar": {"topic": topic, "subscription": "shop"}}
    return start(processes, valkey, broker, source, {"valkey": {"list": {"key": "arrived"}}}, **more)


def send(valkey: Valkey, *entries: str) -> None:
    with valkey.client() as client:
        client.lpush("orders", *entries)


# Pulsar, outward: what the broker may do to a producer


def test_p8_a_terminated_topic_is_told(valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes) -> None:
    running = outward(processes, valkey, broker, topic).wait_until_ready()
    broker.admin("POST", f"{server_path(topic)}/terminate")
    await_trouble(running, "orders: pulsar: TopicTerminated: ")
    send(valkey, "kept")
    await_trouble(running, "orders: pulsar: TopicTerminated: ")
    broker.admin("DELETE", f"{server_path(topic)}?force=true")
    broker.create_topic(topic)
    await_recovery(running, 30)
    assert broker.payloads(topic) == [b"kept"]


@pytest.mark.parametrize("policy", ["producer_request_hold", "producer_exception"])
def test_p8_a_topic_over_its_quota_is_told(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes, policy: str
) -> None:
    broker.admin("PUT", f"{server_path(topic)}/subscription/keeper", "earliest")
    running = outward(processes, valkey, broker, topic).wait_until_ready()
    quota = {"limitSize": 1000, "limitTime": -1, "policy": policy}
    broker.admin("POST", f"{server_path(topic)}/backlogQuota?backlogQuotaType=destination_storage", quota)
    wait_for(lambda: broker.admin("GET", f"{server_path(topic)}/backlogQuotaMap"), "the policy")
    for _ in range(5):
        send(valkey, os.urandom(1000).hex())  # nothing that could be compressed
    await_trouble(running, "orders: pulsar: QuotaExceeded: ", seconds=20)  # the broker looks every two seconds
    broker.admin("POST", f"{server_path(topic)}/subscription/keeper/skip_all")
    broker.admin("DELETE", f"{server_path(topic)}/backlogQuota")
    await_recovery(running, 20)


def test_p8_a_producer_that_keeps_ours_out_is_told(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    client = broker.client()
    other = client.create_producer(topic, access_mode=pulsar.ProducerAccessMode.Exclusive)
    running = outward(processes, valkey, broker, topic)
    page = await_trouble(running, "orders: pulsar: ProducerBusy: ", seconds=20)
    assert "exclusive" in page, "the broker's own words"
    other.close()
    await_recovery(running)
    client.create_producer(topic, access_mode=pulsar.ProducerAccessMode.ExclusiveWithFencing)
    send(valkey, "one")  # our producer hears of it when it sends
    await_trouble(running, "orders: pulsar: ProducerBusy: ")
    client.close()
    await_recovery(running)
    wait_for(lambda: broker.payloads(topic) == [b"one"], "it goes on")


def test_p8_a_namespace_that_wants_encryption_is_told(
    valkey: Valkey, broker: GuardedPulsar, processes: Processes
) -> None:
    namespace = f"public/enc-{uuid.uuid4().hex[:8]}"
    broker.admin("PUT", f"/admin/v2/namespaces/{namespace}", {})
    broker.admin("POST", f"/admin/v2/namespaces/{namespace}/permissions/{ROLE}", RIGHTS)
    topic = broker.create_topic(f"persistent://{namespace}/t")
    broker.create_topic(f"{topic}-DLQ")
    running = outward(processes, valkey, broker, topic).wait_until_ready()
    broker.admin("POST", f"/admin/v2/namespaces/{namespace}/encryptionRequired", True)
    send(valkey, "kept")
    page = await_trouble(running, "orders: pulsar: EncryptionRequired: ", "encryptionRequired to false")
    assert f"Encryption is required in {topic}" in page
    broker.admin("POST", f"/admin/v2/namespaces/{namespace}/encryptionRequired", False)
    await_recovery(running)
    assert broker.payloads(topic) == [b"kept"]


def test_p8_a_topic_that_is_deleted_is_told_by_each_loop(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    running = [outward(processes, valkey, broker, topic), inward(processes, valkey, broker, topic)]
    for each in running:
        each.wait_until_ready()
    broker.admin("DELETE", f"{server_path(topic)}?force=true")
    for each, loop in zip(running, ("orders", topic), strict=True):
        await_trouble(each, f"{loop}: pulsar: TopicNotFound: ")
    broker.create_topic(topic)
    for each in running:
        await_recovery(each)
    dead = f"{topic}-shop-DLQ"
    broker.admin("DELETE", f"{server_path(dead)}?force=true")
    await_trouble(running[1], "headrace:{test/b}:dead-letters: pulsar: TopicNotFound: ")
    broker.create_topic(dead)
    await_recovery(running[1])


def test_p8_a_right_that_is_revoked_is_told(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    running = [outward(processes, valkey, broker, topic), inward(processes, valkey, broker, topic)]
    for each in running:
        each.wait_until_ready()
    try:
        broker.admin("DELETE", PERMISSION)
        for each, loop in zip(running, ("orders", topic), strict=True):
            await_trouble(each, f"{loop}: pulsar: AuthorizationFailed: ")
    finally:
        broker.admin("POST", PERMISSION, RIGHTS)
    for each in running:
        await_recovery(each)


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_p8_a_broker_that_is_away_is_told_by_each_loop(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes, how: str
) -> None:
    running = [outward(processes, valkey, broker, topic), inward(processes, valkey, broker, topic, **RETRY)]
    for each in running:
        each.wait_until_ready()
    reason = "Silent" if how == "frozen" else "Unreachable"
    if how == "frozen":
        broker.freeze()
    else:
        broker.kill()
    try:
        await_trouble(running[0], f"orders: pulsar: {reason}: ")
        for loop in (topic, f"{topic}-shop-RETRY", "headrace:{test/b}:dead-letters"):
            await_trouble(running[1], f"{loop}: pulsar: {reason}: ")
    finally:
        if how == "frozen":
            broker.thaw()
        else:
            broker.start()
    for each in running:
        await_recovery(each, 20)


# Pulsar, inward


def test_p8_a_subscription_that_is_taken_is_told_though_the_retries_flow(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    client = broker.client()
    try:
        client.subscribe(topic, "shop", consumer_type=pulsar.ConsumerType.Exclusive)
        running = inward(processes, valkey, broker, topic, **RETRY)
        page = await_trouble(running, f"{topic}: pulsar: ConsumerBusy: ", seconds=20)
        assert "different type" in page, "the broker's own words"
        wait_for(lambda: f"{topic}-shop-RETRY" not in running.get("/readyz")[1], "the retries are ready")
        assert running.metric("headrace_bridge_connected", side="pulsar") == 0
        assert running.metric("headrace_bridge_side_failures_total", side="pulsar", reason="ConsumerBusy") >= 1
    finally:
        client.close()
    await_recovery(running)


def test_p8_an_admin_api_that_does_not_say_what_a_pattern_matches_is_told(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    source = {"pulsar": {"topicsPattern": f"{topic}.*", "subscription": "shop"}}
    sink = {"valkey": {"list": {"key": "arrived"}}}
    with Proxy(int(broker.admin_url.rpartition(":")[2])) as proxy:
        admin = {"adminUrl": f"http://127.0.0.1:{proxy.port}"}
        dead = {"deadLetter": {"topic": f"{topic}-shop-DLQ"}}
        running = start(processes, valkey, broker, source, sink, admin, **dead).wait_until_ready()
        proxy.stall()
        await_trouble(running, "pulsar admin: ")
        proxy.restore()
        await_recovery(running)


# Valkey


def test_p8_a_frozen_or_killed_valkey_is_told_by_each_loop(
    valkey: Valkey, broker: GuardedPulsar, topic: str, processes: Processes
) -> None:
    running = [outward(processes, valkey, broker, topic), inward(processes, valkey, broker, topic)]
    for each in running:
        each.wait_until_ready()
    valkey.freeze()
    await_trouble(running[0], "orders: valkey: ")
    for loop in (topic, "headrace:{test/b}:dead-letters", "identity"):
        await_trouble(running[1], f"{loop}: valkey: ")
    valkey.thaw()
    for each in running:
        await_recovery(each)
    valkey.kill()
    await_trouble(running[0], "orders: valkey: Unreachable: ")
    await_trouble(running[1], f"{topic}: valkey: Unreachable: ")
    valkey.start()
    allow(valkey, *ALL)  # users live as long as their server here
    for each in running:
        await_recovery(each, 15)
