"""`headrace worker` in the modes Polling, Stream and PubSub, with a real Valkey and real processes."""

import asyncio
import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.snapshot import Numbers
from headrace.reconcile.valkey_numbers import ask_valkey
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, resource, wait_for

OUTBOX, LETTERS, KEY = "outbox", "letters", "orders"
PREFIX = "headrace:{test/shop}"
HANDLERS = "tests.integration.shop_handlers"
PLACES = ("list", "zset", "hash", "stream")
LEASE = 3


def worker(place: str, valkey: Valkey, *, block: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A worker that takes its messages from a key of that kind."""
    runtime = {"handler": f"{HANDLERS}:price", "leaseSeconds": LEASE, **(block or {})}
    spec: dict[str, Any] = {
        "valkey": {"url": valkey.url},
        "outbox": {"key": OUTBOX},
        "deadLetter": {"key": LETTERS},
        "retry": {"maxAttempts": 3, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
        **changes,
    }
    if place == "stream":
        spec |= {"mode": "Stream", "stream": {"key": KEY, "payloadField": "order", **runtime}}
    elif place == "channel":
        spec |= {"mode": "PubSub", "pubSub": {"patterns": ["news.*"], **runtime}}
    else:
        spec |= {"mode": "Polling", "polling": {place: {"key": KEY}, **runtime}}
    return resource("ValkeyWorker", "shop", spec)


def start(processes: Processes, valkey: Valkey, document: dict[str, Any]) -> Headrace:
    return processes.start("worker", document, environment={"SHOP_VALKEY": valkey.url})


def put(valkey: Valkey, place: str, *orders: dict[str, Any] | str) -> None:
    """Leave orders where the worker takes them."""
    with valkey.client() as client:
        pipeline = client.pipeline()
        for number, order in enumerate(orders):
            text = order if isinstance(order, str) else json.dumps(order)
            if place == "stream":
                pipeline.xadd(KEY, {"order": text, "traceparent": "00-1"})
            elif place == "zset":
                pipeline.zadd(KEY, {text: time.time() - 60 + number / 1000})
            elif place == "hash":
                pipeline.hset(KEY, order["id"] if isinstance(order, dict) else order, text)
            else:
                pipeline.lpush(KEY, text)
        pipeline.execute()


def records(valkey: Valkey, key: str = OUTBOX) -> list[dict[str, Any]]:
    with valkey.client() as client:
        return [json.loads(entry) for entry in client.lrange(key, 0, -1)[::-1]]


def wait_for_records(valkey: Valkey, number: int, key: str = OUTBOX, seconds: float = 40) -> list[dict[str, Any]]:
    wait_for(lambda: len(records(valkey, key)) >= number, f"{number} records in {key}", seconds)
    return records(valkey, key)


def results(valkey: Valkey) -> Counter[str]:
    """How often each order has a result."""
    return Counter(record["payload"]["id"] for record in records(valkey))


def left(valkey: Valkey, place: str) -> int:
    """Messages that lie at their place, are in flight, or wait for another attempt."""
    with valkey.client() as client:
        sizes = {"list": client.llen, "zset": client.zcard, "hash": client.hlen}
        if place == "stream":
            return int(client.xpending(KEY, "headrace")["pending"]) + int(client.xinfo_groups(KEY)[0]["lag"] or 0)
        return int(sizes[place](KEY)) + int(client.zcard(f"{PREFIX}:polled:leases"))


def traces(valkey: Valkey) -> set[str]:
    """Keys of ours that remain."""
    with valkey.client() as client:
        return set(client.scan_iter(f"{PREFIX}:*"))


def runs(valkey: Valkey, name: str) -> int:
    with valkey.client() as client:
        return int(client.get(f"note:{name}:runs") or 0)


def freeze_at_work(running: Headrace, valkey: Valkey) -> bool:
    """Freeze a worker; whether it holds messages then, beside those of two others."""
    running.signal(signal.SIGSTOP)
    wait_for(running.frozen, "the worker is frozen")
    with valkey.client() as client:
        owners = {owner for kind in ("polled", "stream") for owner in client.hvals(f"{PREFIX}:{kind}:owners")}
    if len(owners) < 3:
        running.signal(signal.SIGCONT)
    return len(owners) == 3


@pytest.mark.parametrize("place", PLACES)
def test_p7_results_retries_and_dead_letters(valkey: Valkey, processes: Processes, place: str) -> None:
    orders: list[dict[str, Any]] = [
        {"id": "good"},
        {"id": "again", "fail": 1},
        {"id": "never", "fail": 9},
        {"id": "refused", "refuse": "no such article"},
        {"id": "odd", "odd": True},
    ]
    put(valkey, place, *orders, "garbage")
    running = start(processes, valkey, worker(place, valkey)).wait_until_ready()
    letters = {
        record["reason"] + str((record.get("payload") or {}).get("id", "")): record
        for record in wait_for_records(valkey, 4, LETTERS)
    }
    wait_for_records(valkey, 2)
    assert set(letters) == {"InvalidRecord", "Refusedrefused", "HandlerFailednever", "HandlerFailedodd"}
    assert "not JSON" in letters["InvalidRecord"]["error"]
    assert letters["HandlerFailednever"]["attempts"] == 3
    assert letters["HandlerFailednever"]["error"] == "ValueError: no luck"
    assert letters["Refusedrefused"]["properties"]["HEADRACE_SOURCE"] == "ValkeyWorker/test/shop"
    assert results(valkey) == {"good": 1, "again": 1}
    found = {record["payload"]["id"]: record for record in records(valkey)}
    assert found["again"]["payload"]["attempt"] == 2
    assert found["good"]["payload"]["key"] == KEY
    extra = {"list": {}, "zset": {"VALKEY_SCORE"}, "hash": {"VALKEY_FIELD": "good"}, "stream": {"traceparent": "00-1"}}
    assert set(found["good"]["payload"]["headers"]) == set(extra[place])
    assert found["good"]["type"] == "Result"
    wait_for(lambda: left(valkey, place) == 0, "all is settled")
    assert running.metric("headrace_worker_received_total") == 9
    assert running.metric("headrace_worker_succeeded_total") == 2
    assert running.metric("headrace_worker_retried_total") == 3
    assert running.metric("headrace_worker_dead_letters_total", reason="HandlerFailed") == 2
    assert running.stop() == 0


@pytest.mark.parametrize("place", PLACES)
def test_p1_p2_killed_and_frozen_workers_lose_nothing_and_no_result_comes_twice(
    valkey: Valkey, processes: Processes, place: str
) -> None:
    kinds: list[dict[str, Any]] = [{"fail": 1}, {"refuse": "no such article"}, *([{"seconds": 0.05}] * 8)]
    orders = [{"id": str(number), **kinds[number % 10]} for number in range(200)]
    refused = {order["id"] for order in orders if "refuse" in order}
    document = worker(place, valkey, retry={"maxAttempts": 9})
    killed, frozen, other = (start(processes, valkey, document) for _ in range(3))
    for each in (killed, frozen, other):
        each.wait_until_ready()
    put(valkey, place, *orders)
    wait_for(lambda: len(records(valkey)) > 40, "some are done")
    wait_for(lambda: freeze_at_work(frozen, valkey), "the second worker is frozen")
    killed.kill()
    wait_for(lambda: len(results(valkey)) + len(records(valkey, LETTERS)) >= 200, "every order has its record")
    frozen.signal(signal.SIGCONT)
    wait_for(lambda: frozen.metric("headrace_worker_leases_lost_total") > 0, "what it did late is dropped")
    assert results(valkey) == {order["id"]: 1 for order in orders if order["id"] not in refused}
    letters = Counter(letter["payload"]["id"] for letter in records(valkey, LETTERS))
    assert letters == dict.fromkeys(refused, 1)
    assert left(valkey, place) == 0
    assert (other.stop(), frozen.stop()) == (0, 0)
    assert traces(valkey) <= {f"{PREFIX}:stream:messages"}


@pytest.mark.parametrize("place", ["list", "stream"])
def test_p2_a_handler_that_runs_longer_than_the_lease_is_left_alone(
    valkey: Valkey, processes: Processes, place: str
) -> None:
    workers = [start(processes, valkey, worker(place, valkey)) for _ in range(2)]
    for each in workers:
        each.wait_until_ready()
    put(valkey, place, {"id": "long", "seconds": 2 * LEASE})
    wait_for_records(valkey, 1)
    assert runs(valkey, "long") == 1
    assert results(valkey) == {"long": 1}
    assert sum(each.metric("headrace_worker_leases_lost_total") for each in workers) == 0


@pytest.mark.parametrize("place", ["hash", "stream"])
def test_p1_a_stop_finishes_what_runs_and_hands_back_what_does_not_end(
    valkey: Valkey, processes: Processes, place: str
) -> None:
    document = worker(place, valkey, terminationGracePeriodSeconds=10, block={"concurrency": 2})
    running = start(processes, valkey, document).wait_until_ready()
    put(valkey, place, {"id": "short", "seconds": 2}, {"id": "long", "seconds": 60})
    wait_for(lambda: runs(valkey, "short") + runs(valkey, "long") == 2, "both run")
    put(valkey, place, {"id": "waiting"})
    assert running.stop() == 0
    assert results(valkey) == {"short": 1}
    with valkey.client() as client:
        if place == "hash":
            assert set(client.hkeys(KEY)) == {"long", "waiting"}
            assert traces(valkey) == set()
        else:
            assert [row["name"] for row in client.xinfo_consumers(KEY, "headrace")] == ["headrace:waiting"]
    again = start(processes, valkey, worker(place, valkey, block={"handler": f"{HANDLERS}:attempt"})).wait_until_ready()
    wait_for_records(valkey, 3)
    assert {record["payload"]["id"]: record["payload"]["attempt"] for record in records(valkey)[1:]} == {
        "long": 1,
        "waiting": 1,
    }
    again.end()


def test_p1_p7_what_takes_its_worker_down_becomes_a_dead_letter(valkey: Valkey, processes: Processes) -> None:
    put(valkey, "list", {"id": "bad", "die": True})
    document = worker("list", valkey, retry={"maxAttempts": 2}, block={"concurrency": 1})
    for _ in range(2):
        assert start(processes, valkey, document).process.wait(40) == 9
    put(valkey, "list", {"id": "good"})
    start(processes, valkey, document).wait_until_ready()
    [letter] = wait_for_records(valkey, 1, LETTERS)
    assert (letter["reason"], letter["attempts"], letter["payload"]["id"]) == ("WorkerLost", 2, "bad")
    wait_for_records(valkey, 1)
    assert results(valkey) == {"good": 1}


def test_p5_a_valkey_that_is_away_shows_and_kills_nothing(valkey: Valkey, processes: Processes) -> None:
    running = start(processes, valkey, worker("list", valkey)).wait_until_ready()
    put(valkey, "list", {"id": "during", "seconds": 1})
    wait_for(lambda: runs(valkey, "during") == 1, "it runs")
    valkey.kill()
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    assert running.get("/livez")[0] == 200
    valkey.start()
    put(valkey, "list", {"id": "after"})
    wait_for(lambda: set(results(valkey)) == {"during", "after"}, "both have their results")
    assert set(results(valkey).values()) == {1}
    running.wait_until_ready()
    with valkey.client() as client:
        client.delete(KEY)
        client.set(KEY, "no list")
    wait_for(lambda: "WRONGTYPE" in running.log(), "the wrong type is told")
    assert running.get("/readyz")[0] == 503


def test_async_handlers_wait_together(valkey: Valkey, processes: Processes) -> None:
    document = worker("stream", valkey, block={"handler": f"{HANDLERS}:price_async", "concurrency": 500})
    running = start(processes, valkey, document).wait_until_ready()
    put(valkey, "stream", *({"id": str(number), "seconds": 2} for number in range(500)), {"id": "again", "fail": 1})
    wait_for(lambda: running.metric("headrace_worker_in_flight") == 500, "all wait at once")
    wait_for(lambda: len(results(valkey)) == 501, "all are done")
    assert set(results(valkey).values()) == {1}


def test_a_field_that_is_set_again_is_handled_again_after_the_first(valkey: Valkey, processes: Processes) -> None:
    document = worker("hash", valkey, block={"handler": f"{HANDLERS}:price"})
    start(processes, valkey, document).wait_until_ready()
    with valkey.client() as client:
        client.hset(KEY, "field", json.dumps({"id": "first", "seconds": 3}))
        wait_for(lambda: runs(valkey, "first") == 1, "the first runs")
        client.hset(KEY, "field", json.dumps({"id": "lost to the next"}))
        client.hset(KEY, "field", json.dumps({"id": "second"}))
        wait_for_records(valkey, 2)
    assert [record["payload"]["id"] for record in records(valkey)] == ["first", "second"]


def test_retries_do_not_wait_for_the_interval_and_new_messages_do(valkey: Valkey, processes: Processes) -> None:
    put(valkey, "list", *({"id": str(number), "fail": 1} for number in range(9)))
    start(processes, valkey, worker("list", valkey, block={"intervalSeconds": 3600})).wait_until_ready()
    wait_for_records(valkey, 9)
    put(valkey, "list", {"id": "late", "fail": 1})
    wait_for(lambda: left(valkey, "list") == 1, "all but the late one is settled")
    assert runs(valkey, "late") == 0


def test_a_member_waits_until_it_is_due(valkey: Valkey, processes: Processes) -> None:
    document = worker("zset", valkey)
    document["spec"]["polling"]["zset"]["unit"] = "Milliseconds"
    with valkey.client() as client:
        now = time.time() * 1000
        client.zadd(KEY, {json.dumps({"id": name}): now + wait for name, wait in (("soon", 3000), ("late", 900_000))})
        start(processes, valkey, document).wait_until_ready()
        wait_for_records(valkey, 1)
        assert time.time() * 1000 >= now + 3000
        assert results(valkey) == {"soon": 1}
        assert client.zcard(KEY) == 1


def test_p1_entries_of_other_consumers_are_taken_over_and_what_all_have_read_is_trimmed(
    valkey: Valkey, processes: Processes
) -> None:
    put(valkey, "stream", {"id": "orphan"}, {"id": "new"})
    with valkey.client() as client:
        client.xgroup_create(KEY, "headrace", "0")
        client.xreadgroup("headrace", "somebody", {KEY: ">"}, count=1)
        start(processes, valkey, worker("stream", valkey, block={"trim": True})).wait_until_ready()
        wait_for(lambda: results(valkey) == {"orphan": 1, "new": 1}, "both are done")
        wait_for(lambda: client.xlen(KEY) <= 1, "the stream is trimmed")
        attempts = {record["payload"]["id"]: record["payload"]["attempt"] for record in records(valkey)}
        assert attempts == {"new": 1, "orphan": 2}


def test_p1_a_group_that_was_destroyed_goes_on_where_it_was(valkey: Valkey, processes: Processes) -> None:
    put(valkey, "stream", {"id": "before"})
    start(processes, valkey, worker("stream", valkey)).wait_until_ready()
    wait_for_records(valkey, 1)
    put(valkey, "stream", {"id": "during", "seconds": 1})
    wait_for(lambda: runs(valkey, "during") == 1, "it runs")
    with valkey.client() as client:
        client.xgroup_destroy(KEY, "headrace")
    put(valkey, "stream", {"id": "after"})
    wait_for_records(valkey, 3)
    assert results(valkey) == {"before": 1, "during": 1, "after": 1}


def test_raw_payloads_and_fields_as_one_object(valkey: Valkey, processes: Processes) -> None:
    raw = {"handler": f"{HANDLERS}:size", "format": "Raw"}
    one = start(processes, valkey, worker("list", valkey, block=raw)).wait_until_ready()
    with valkey.client() as client:
        client.lpush(KEY, b"\xff\x00\xfe")
    assert wait_for_records(valkey, 1)[0]["payload"] == 3
    assert one.stop() == 0
    with valkey.client() as client:
        client.delete(KEY, OUTBOX)
        client.xadd(KEY, {"id": "7", "other": "x"})
        client.xadd(KEY, {"id": b"\xff"})
    document = worker("stream", valkey)
    del document["spec"]["stream"]["payloadField"]
    start(processes, valkey, document).wait_until_ready()
    assert wait_for_records(valkey, 1)[0]["payload"]["id"] == "7"
    [letter] = wait_for_records(valkey, 1, LETTERS)
    assert (letter["reason"], letter["error"]) == ("InvalidRecord", "id is not UTF-8.")


def test_the_operator_counts_what_waits_and_what_is_at_work(valkey: Valkey, processes: Processes) -> None:
    def numbers(place: str) -> Numbers:
        document = worker(place, valkey, block={"concurrency": 1})
        return asyncio.run(ask_valkey(parse(ValkeyWorker, document), Credentials()))

    with valkey.client() as client:
        for place in PLACES:
            client.flushall()
            put(valkey, place, *({"id": str(number), "seconds": 60} for number in range(3)))
            if place == "zset":
                client.zadd(KEY, {"not due": time.time() + 900})
            at_work = 0
            if place in ("list", "stream"):
                running = start(processes, valkey, worker(place, valkey, block={"concurrency": 1}))
                wait_for(lambda place=place: numbers(place).in_flight == 1, "one is at work")  # type: ignore[misc]
                running.end()
                at_work = 1
            found = numbers(place)
            assert (found.backlog, found.in_flight, found.queues) == (3 - at_work, at_work, ((KEY, 3 - at_work),))
            assert (found.outbox, found.dead_letters) == (0, 0)
        client.lpush(f"{PREFIX}:channels:received", "4:newshello")
        assert (numbers("channel").backlog, numbers("channel").queues) == (1, ())


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (f"{HANDLERS}:absent", "has no function absent to call; it has attempt, note, price,"),
        (f"{HANDLERS}:two", "must take one argument, the message"),
        ("no.such:handler", "polling.handler: cannot import no.such"),
    ],
)
def test_a_handler_that_is_not_there_is_named(valkey: Valkey, processes: Processes, handler: str, message: str) -> None:
    running = start(processes, valkey, worker("list", valkey, block={"handler": handler}))
    assert running.process.wait(30) == 78
    assert message in running.termination()


def test_p1_p2_what_channels_publish_is_handled_once_and_by_one_pod_and_a_killed_one_makes_no_gap(
    valkey: Valkey, processes: Processes
) -> None:
    document = worker("channel", valkey, block={"handler": f"{HANDLERS}:attempt"})
    document["spec"]["pubSub"]["channels"] = ["news.orders"]  # fits the pattern too: taken once
    killed = start(processes, valkey, document).wait_until_ready()
    other = start(processes, valkey, document).wait_until_ready()
    with valkey.client() as client:
        for number in range(400):
            if number == 200:
                killed.kill()
            client.publish("news.orders" if number % 2 else "news.other", json.dumps({"id": str(number)}))
        client.publish("news.orders", "garbage")
        wait_for(lambda: len(results(valkey)) == 400, "all are handled")
        assert set(results(valkey).values()) == {1}
        assert wait_for_records(valkey, 1, LETTERS)[0]["reason"] == "InvalidRecord"
        assert other.metric("headrace_worker_gaps_total") == 0
        assert other.stop() == 0
        client.publish("news.orders", "nobody hears it")
    alone = start(processes, valkey, document).wait_until_ready()
    wait_for(lambda: alone.metric("headrace_worker_gaps_total") == 1, "the gap is told")


def test_p6_a_password_reaches_valkey_and_no_log(tmp_path: Path, processes: Processes) -> None:
    password = "hunter-2-with/odd:signs@"
    with Valkey(tmp_path / "closed", password=password) as closed:
        document = worker("list", closed, block={"handler": f"{HANDLERS}:attempt"})
        document["spec"]["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
        running = processes.start("worker", document, secrets={"valkey/password": password}).wait_until_ready()
        put(closed, "list", {"id": "one"})
        wait_for_records(closed, 1)
        assert running.stop() == 0
        assert "hunter" not in running.log()
