"""A worker is ready while each of its loops could work, though nothing comes; else it says which cannot, and why."""

from typing import Any

import pytest

from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, resource, wait_for
from tests.integration.readiness import ALL, AUTH, SECRETS, allow, await_recovery, await_trouble
from tests.integration.test_worker_modes import KEY, LETTERS, OUTBOX
from tests.integration.test_worker_modes import worker as handler

CELERY = {"app": "tests.integration.beat_tasks:app", "pool": "Threads", "results": {"enabled": True}}
PREFIX = "headrace:{test/shop}"


def celery(valkey: Valkey, **block: Any) -> dict[str, Any]:
    spec = {"valkey": {"url": valkey.url}, "celery": {**CELERY, **block}, "deadLetter": {"key": LETTERS}}
    return resource("ValkeyWorker", "shop", spec)


def start(processes: Processes, valkey: Valkey, document: dict[str, Any]) -> Headrace:
    """A worker whose user may do everything, at rest."""
    allow(valkey, *ALL)
    document["spec"]["valkey"]["auth"] = AUTH
    running = processes.start("worker", document, secrets=SECRETS, environment={"SHOP_VALKEY": valkey.url})
    return running.wait_until_ready()


def without(key: str) -> tuple[str, ...]:
    """All keys but those that begin with *key*; with a glob of ours."""
    return ("resetkeys", *(f"~{key[:end]}[^{key[end]}]*" for end in range(len(key))))


HANDLED = [
    ("list", ("-rpop",), "handler: valkey: NotPermitted: ", "rpop"),
    ("list", ("-hdel",), "handler: valkey: NotPermitted: ", "hdel"),
    ("zset", ("-zrem",), "handler: valkey: NotPermitted: ", "zrem"),
    ("hash", ("-hrandfield",), "handler: valkey: NotPermitted: ", "hrandfield"),
    ("stream", ("-xreadgroup",), "handler: valkey: NotPermitted: ", "xreadgroup"),
    ("stream", ("-xack",), "handler: valkey: NotPermitted: ", "xack"),
    ("list", without(KEY), "handler: valkey: NotPermitted: ", KEY),
    ("list", without(OUTBOX), "handler: valkey: NotPermitted: ", OUTBOX),
    ("list", without(LETTERS), "handler: valkey: NotPermitted: ", LETTERS),
    ("zset", ("-zadd",), "leases: valkey: NotPermitted: ", "zadd"),
    ("channel", ("resetchannels",), "channels: valkey: NotPermitted: ", ""),
    ("channel", ("-hincrby",), f"{PREFIX}:received: valkey: NotPermitted: ", "hincrby"),
    ("channel", ("-set",), "lease of the channels: valkey: NotPermitted: ", ""),
]


@pytest.mark.parametrize(("place", "rules", "line", "word"), HANDLED)
def test_p8_each_loop_of_a_handler_tells_what_it_may_not_do_though_nothing_comes(
    valkey: Valkey, processes: Processes, place: str, rules: tuple[str, ...], line: str, word: str
) -> None:
    running = start(processes, valkey, handler(place, valkey))
    allow(valkey, *rules)
    page = await_trouble(running, line)
    assert word in page.lower()
    allow(valkey, *ALL)
    await_recovery(running)


SCHEDULED = [
    (("-rpop",), "tasks: valkey: NotPermitted: ", "rpop"),
    (("-publish",), "tasks: valkey: NotPermitted: ", "publish"),
    (without(LETTERS), "tasks: valkey: NotPermitted: ", LETTERS),
    (without(f"{PREFIX}:unacked"), "tasks: valkey: NotPermitted: ", "unacked"),
    (without(f"{PREFIX}:beat"), "periodic tasks: valkey: NotPermitted: ", "beat"),
]


@pytest.mark.parametrize(("rules", "line", "word"), SCHEDULED)
def test_p8_each_loop_of_a_celery_worker_tells_what_it_may_not_do_though_nothing_comes(
    valkey: Valkey, processes: Processes, rules: tuple[str, ...], line: str, word: str
) -> None:
    running = start(processes, valkey, celery(valkey, beat={"enabled": True}))
    allow(valkey, *rules)
    page = await_trouble(running, line)
    assert word in page.lower()
    allow(valkey, *ALL)
    await_recovery(running, 20)


@pytest.mark.parametrize("place", ["list", "channel", "celery"])
def test_p8_a_valkey_that_takes_no_writes_is_told_by_its_reason(
    valkey: Valkey, processes: Processes, place: str
) -> None:
    document = celery(valkey) if place == "celery" else handler(place, valkey)
    running = start(processes, valkey, document)
    with valkey.client() as client:
        client.config_set("min-replicas-to-write", 1)
        await_trouble(running, ": valkey: TooFewReplicas: ")
        client.config_set("min-replicas-to-write", 0)
        await_recovery(running, 20)
        client.replicaof(valkey.host, 1)
        await_trouble(running, ": valkey: ReadOnly: ")
        client.replicaof("NO", "ONE")
        await_recovery(running, 20)


def test_p8_a_key_of_another_type_is_told_though_nothing_comes(valkey: Valkey, processes: Processes) -> None:
    running = start(processes, valkey, handler("list", valkey))
    with valkey.client() as client:
        lines = {KEY: "handler: valkey: WrongType: ", OUTBOX: "records of the handler: valkey: WrongType: "}
        for key, line in lines.items():
            client.set(key, "x")
            page = await_trouble(running, line)
            assert key in page
            client.delete(key)
            await_recovery(running)
        # a full Valkey is emptied by a worker, so it is ready
        client.config_set("maxmemory", 1)
        wait_for(lambda: client.info("memory")["maxmemory"] == 1, "it is full")
        await_recovery(running)
        client.config_set("maxmemory", 0)
