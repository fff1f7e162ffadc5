"""`headrace worker` in Celery mode, with a real Valkey and real processes."""

import base64
import json
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from headrace.bridge.envelope import envelopes
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, resource, wait_for

QUEUE = "pricing"
OUTBOX = "outbox"
LETTERS = "letters"
PREFIX = "headrace:{test/shop}"
PASSWORD = "hunter-2-with/odd:signs@"
TOPIC = "persistent://shop/orders/events"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def worker(valkey: Valkey, *, celery: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    spec = {
        "valkey": {"url": valkey.url},
        "celery": {
            "app": "tests.integration.shop_tasks:app",
            "queues": [{"name": QUEUE}],
            "concurrency": 2,
            **(celery or {}),
        },
        "outbox": {"key": OUTBOX, "tasks": ["shop.price"]},
        "deadLetter": {"key": LETTERS},
        "retry": {"maxAttempts": 3, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
        **changes,
    }
    return resource("ValkeyWorker", "shop", spec)


def runtime(pool: str, **celery: Any) -> dict[str, Any]:
    return {"pool": pool, "concurrency": 1 if pool == "Solo" else 2, **celery}


def start(processes: Processes, valkey: Valkey, document: dict[str, Any], **options: Any) -> Headrace:
    return processes.start("worker", document, environment={"SHOP_VALKEY": valkey.url}, **options)


def order(
    valkey: Valkey,
    *,
    identity: str | None = None,
    eta: str | None = None,
    carried: dict[str, Any] | None = None,
    **order: Any,
) -> str:
    """Queue an order as the bridge does; returns the task's id."""
    identity = identity or str(uuid.uuid4())
    origin = {"topic": TOPIC, "messageId": "1:2:3:4", "key": "k", "properties": {"p": "q", "HEADRACE_CUT": "old"}}
    both = {"headrace": origin, "traceparent": TRACE, "tracestate": "shop=1", **({"eta": eta} if eta else {})}
    headers = json.dumps(both | (carried or {})).encode()[1:-1]
    envelope = envelopes("shop.price", QUEUE)(identity, json.dumps(order).encode(), headers)
    with valkey.client() as client:
        client.lpush(QUEUE, envelope)
    return identity


def call(valkey: Valkey, task: str, *args: Any, body: str | None = None) -> None:
    """Queue a task as any Celery producer does."""
    identity = str(uuid.uuid4())
    message = {
        "body": body if body is not None else json.dumps([args, {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": identity},
        "properties": {"delivery_tag": identity, "delivery_info": {"exchange": "", "routing_key": QUEUE}},
    }
    with valkey.client() as client:
        client.lpush(QUEUE, json.dumps(message))


def records(valkey: Valkey, key: str = OUTBOX) -> list[dict[str, Any]]:
    with valkey.client() as client:
        return [json.loads(entry) for entry in client.lrange(key, 0, -1)[::-1]]


def wait_for_records(valkey: Valkey, number: int, key: str = OUTBOX, seconds: float = 40) -> list[dict[str, Any]]:
    wait_for(lambda: len(records(valkey, key)) >= number, f"{number} records in {key}", seconds)
    return records(valkey, key)


def wait_until_settled(valkey: Valkey) -> None:
    """Nothing waits and nothing is unacknowledged."""
    with valkey.client() as client:
        wait_for(lambda: client.llen(QUEUE) + held(valkey) == 0, "all is acknowledged")


def held(valkey: Valkey) -> int:
    """Messages that workers hold."""
    with valkey.client() as client:
        return sum(client.hlen(key) for key in client.scan_iter(f"{PREFIX}:unacked:*"))


def runs(valkey: Valkey, name: str) -> int:
    with valkey.client() as client:
        return int(client.get(f"note:{name}:runs") or 0)


@pytest.mark.parametrize("pool", ["Prefork", "Threads", "Solo", "Gevent"])
def test_results_retries_and_dead_letters(valkey: Valkey, processes: Processes, pool: str) -> None:
    order(valkey, id="good")
    order(valkey, id="refused", refuse="the flight was cancelled")
    order(valkey, id="failing", fail="no luck")
    order(valkey, id="odd", odd=True)
    call(valkey, "shop.mail", "somebody")
    call(valkey, "shop.mail", "nobody")
    call(valkey, "shop.unknown", 1)
    call(valkey, "shop.price", body="not json")
    with valkey.client() as client:
        client.lpush(QUEUE, "garbage", '{"body": "e30=", "properties": {"delivery_tag": "1", "delivery_info": {}}}')
    running = start(processes, valkey, worker(valkey, celery=runtime(pool))).wait_until_ready()
    by_reason: dict[str | None, list[dict[str, Any]]] = {}
    for record in [*wait_for_records(valkey, 5), *wait_for_records(valkey, 4, LETTERS)]:
        by_reason.setdefault(record["reason"], []).append(record)
    [result] = by_reason.pop(None)
    assert result["payload"] == {"id": "good", "price": 7}
    assert (result["key"], result["properties"]) == ("k", {"p": "q", "traceparent": TRACE, "tracestate": "shop=1"})
    [refused] = by_reason.pop("Refused")
    assert (refused["error"], refused["attempts"]) == ("the flight was cancelled", 1)
    assert refused["payload"] == {"id": "refused", "refuse": "the flight was cancelled"}
    assert refused["properties"] == {
        "p": "q",
        "traceparent": TRACE,
        "tracestate": "shop=1",
        "REAL_TOPIC": TOPIC,
        "ORIGIN_MESSAGE_ID": "1:2:3:4",
        "HEADRACE_SOURCE": "ValkeyWorker/test/shop",
        "HEADRACE_ADDED": "traceparent,tracestate",
    }
    failed = {record["error"]: record for record in by_reason.pop("TaskFailed")}
    assert failed["ValueError: no luck"]["attempts"] == 3
    assert "not JSON" in failed.pop(next(error for error in failed if "return value" in error))["error"]
    mail = failed["LookupError: no such address"]
    assert mail["payload"] == {"task": "shop.mail", "id": mail["payload"]["id"], "args": ["nobody"], "kwargs": {}}
    assert runs(valkey, "failing") == 3
    [unknown] = by_reason.pop("TaskNotFound")
    assert unknown["error"] == "no task is named shop.unknown; known are: shop.mail, shop.price."
    invalid = by_reason.pop("InvalidRecord")
    raw = [base64.b64decode(record["payloadBase64"]) for record in invalid if "payloadBase64" in record]
    assert {b"garbage", b"not json"} <= set(raw)
    assert not by_reason
    wait_until_settled(valkey)
    price, other = {"name": "shop.price", "queue_name": QUEUE}, {"name": "shop.mail"}
    wait_for(lambda: running.metric("celery_task_succeeded_total", **price) == 1, "the success is counted")
    assert running.metric("celery_task_failed_total", exception="Refused", **price) == 1
    assert running.metric("celery_task_retried_total", **price) == 2
    assert running.metric("celery_task_received_total", **other) == 4
    assert running.metric("celery_task_runtime_count", **other) == 1
    assert running.metric("headrace_worker_dead_letters_total", reason="Refused", name="shop") == 1
    assert running.metric("headrace_worker_consumers", namespace="test") == 1
    assert running.get("/livez")[0] == 200
    assert running.stop() == 0
    assert all(line.startswith("{") for line in running.log().splitlines()), running.log()


def test_p2_a_task_that_runs_twice_gives_one_result(valkey: Valkey, processes: Processes) -> None:
    start(processes, valkey, worker(valkey))
    identity = order(valkey, id="twice")
    wait_for_records(valkey, 1)
    wait_until_settled(valkey)
    order(valkey, identity=identity, id="twice")
    order(valkey, identity=identity, id="twice", refuse="too late")
    order(valkey, id="other")
    wait_for_records(valkey, 2)
    wait_until_settled(valkey)
    assert runs(valkey, "twice") == 3
    assert [record["payload"]["id"] for record in records(valkey)] == ["twice", "other"]


def test_p7_a_task_that_kills_its_process_ends_as_a_dead_letter(valkey: Valkey, processes: Processes) -> None:
    running = start(processes, valkey, worker(valkey)).wait_until_ready()
    order(valkey, id="deadly", die=True)
    order(valkey, id="good")
    found = {record["reason"]: record for record in wait_for_records(valkey, 2)}
    assert found[None]["payload"]["id"] == "good"
    assert found["WorkerLost"]["attempts"] == 3
    assert found["WorkerLost"]["payload"] == {"id": "deadly", "die": True}
    assert runs(valkey, "deadly") == 3
    assert running.process.poll() is None
    wait_until_settled(valkey)


def test_p7_a_task_beyond_its_time_limit_ends_as_a_dead_letter(valkey: Valkey, processes: Processes) -> None:
    document = worker(valkey, celery={"timeLimitSeconds": 1}, retry={"maxAttempts": 2})
    start(processes, valkey, document).wait_until_ready()
    order(valkey, id="slow", seconds=60)
    [letter] = wait_for_records(valkey, 1)
    assert (letter["reason"], letter["attempts"], runs(valkey, "slow")) == ("WorkerLost", 2, 2)
    wait_until_settled(valkey)


def test_p1_p2_a_killed_worker_loses_nothing(valkey: Valkey, processes: Processes) -> None:
    document = worker(valkey, celery={"results": {"enabled": False}})
    names = [f"o{number}" for number in range(6)]
    for name in names:
        order(valkey, id=name, seconds=2)
    first = start(processes, valkey, document).wait_until_ready()
    wait_for(lambda: sum(runs(valkey, name) for name in names) == 2, "both slots are busy")
    first.kill()
    start(processes, valkey, document)
    wait_for_records(valkey, 6, seconds=60)
    wait_until_settled(valkey)
    assert sorted(record["payload"]["id"] for record in records(valkey)) == names


@pytest.mark.parametrize("pool", ["Prefork", "Threads"])
def test_p2_a_worker_that_was_frozen_for_too_long_leaves_no_result(
    valkey: Valkey, processes: Processes, pool: str
) -> None:
    """The task's mark is forgotten by then, so that only the lease can keep the second result away."""
    outbox = {"key": OUTBOX, "tasks": ["shop.price"], "windowSeconds": 1}
    document = worker(valkey, celery={"pool": pool, "concurrency": 1}, outbox=outbox)
    first = start(processes, valkey, document).wait_until_ready()
    order(valkey, id="frozen", seconds=2)
    wait_for(lambda: runs(valkey, "frozen") == 1, "it runs")
    first.signal(signal.SIGSTOP)
    wait_for(first.frozen, "it is frozen")
    start(processes, valkey, document)
    wait_for_records(valkey, 1)
    wait_until_settled(valkey)
    with valkey.client() as client:
        wait_for(lambda: not list(client.scan_iter(f"{PREFIX}:done:*")), "the task's mark is forgotten")
    first.signal(signal.SIGCONT)
    wait_for(lambda: "ran out" in first.log(), "it notices")
    order(valkey, id="next")
    wait_for_records(valkey, 2)
    assert first.stop() == 0
    assert sorted(record["payload"]["id"] for record in records(valkey)) == ["frozen", "next"]


def test_p1_p5_an_outage_of_valkey_shows_kills_nothing_and_loses_nothing(valkey: Valkey, processes: Processes) -> None:
    document = worker(valkey, celery={"results": {"enabled": False}, "notConsumingSeconds": 5})
    running = start(processes, valkey, document).wait_until_ready()
    for number in range(8):
        order(valkey, id=f"o{number}", seconds=1)
    wait_for(lambda: runs(valkey, "o0") and runs(valkey, "o1"), "the first two run")
    valkey.kill()
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    assert running.get("/livez")[0] == 200
    wait_for(lambda: "valkey does not take a task's record" in running.log(), "a finished task waits for Valkey")
    valkey.start()
    wait_for_records(valkey, 8, seconds=60)
    running.wait_until_ready()
    assert sorted(record["payload"]["id"] for record in records(valkey)) == sorted(f"o{number}" for number in range(8))
    assert running.metric("headrace_worker_not_consuming_restarts_total") == 0


def test_p6_the_password_is_never_in_a_log(tmp_path: Path, processes: Processes) -> None:
    with Valkey(tmp_path / "locked", password=PASSWORD) as locked:
        document = worker(locked)
        document["spec"]["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
        right = start(processes, locked, document, secrets={"valkey/password": PASSWORD}).wait_until_ready()
        wrong = start(processes, locked, document, secrets={"valkey/password": "wrong-password"})
        call(locked, "shop.unknown")
        wait_for(lambda: "TaskNotFound" in json.dumps(records(locked, LETTERS)), "the right one works")
        wait_for(lambda: "invalid username-password pair" in wrong.log(), "the wrong one says so")
        assert wrong.get("/readyz")[0] == 503
        assert wrong.get("/livez")[0] == 200
        locked.kill()
        wait_for(lambda: "onnection refused" in right.log(), "the outage is logged")
        for one in (right, wrong):
            assert one.process.poll() is None
            one.signal(signal.SIGTERM)
        for one, password in ((right, PASSWORD), (wrong, "wrong-password")):
            assert one.process.wait(40) == 0
            assert password not in one.log()
            assert "hunter" not in one.log()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"outbox": {"key": OUTBOX, "tasks": ["shop.prize"]}},
            "outbox.tasks: shop.prize is not registered in tests.integration.shop_tasks:app,"
            " which has: shop.mail, shop.price.",
        ),
        ({"celery": {"app": "no_such_module:app"}}, "celery.app: cannot import no_such_module: there is no module"),
        (
            {"celery": {"app": "tests.integration.shop_tasks:application"}},
            "celery.app: tests.integration.shop_tasks has no Celery app named application; it has app.",
        ),
        ({"celery": {"app": "shop"}}, "spec.celery: app must read module:attribute"),
        ({"valkey": {"url": "valkey://a:1/0", "auth": {"secretRef": {"name": "v"}}}}, "valkey/password is missing"),
    ],
)
def test_a_configuration_that_cannot_work_ends_with_one_clear_sentence(
    valkey: Valkey, processes: Processes, changes: dict[str, Any], message: str
) -> None:
    document = worker(valkey)
    document["spec"].update(changes)
    running = start(processes, valkey, document)
    assert running.process.wait(20) == 78
    assert message in running.termination()
    assert running.termination().count("\n") == 1


def test_p5_connection_retry_is_the_environments(valkey: Valkey, processes: Processes) -> None:
    variables = {"SHOP_VALKEY": valkey.url, "VAPI_RETRY_ATTEMPTS": "never"}
    refused = processes.start("worker", worker(valkey), environment=variables)
    variables |= {"VAPI_RETRY_ATTEMPTS": "2", "VAPI_RETRY_BACKOFF_TYPE": "constant", "VAPI_RETRY_BACKOFF_BASE": "0.05"}
    valkey.stop()
    waiting = processes.start("worker", worker(valkey), environment=variables)
    assert refused.process.wait(60) == 78
    assert "VAPI_RETRY_ATTEMPTS must be a whole number" in refused.termination()
    series = "headrace_connection_retries_exhausted_total"
    wait_for(lambda: waiting.get("/livez")[0] == 200 and waiting.metric(series) >= 3, "rows of attempts fail", 60)
    valkey.start()
    waiting.wait_until_ready(60)


def test_p1_results_headers_and_dead_letters_keep_their_values(valkey: Valkey, processes: Processes) -> None:
    values = {
        "big": "1180591620717411303424",
        "nan": "NaN",
        "half": '"\\ud800"',
        "deep": '[1.5,null,{"\\udfff":-18446744073709551616}]',
    }
    for name in values:
        order(valkey, id=name, value=name)
    order(valkey, id="header", header="big", carried={"big": 2**70, "half": "\ud800"})
    order(valkey, id=2**70, refuse="no", half="\ud800", nan=float("nan"))
    call(valkey, "shop.mail", "nobody", 2**70)
    call(valkey, "shop.unknown", 2**70, "\ud800")
    retry = {"maxAttempts": 2, "backoff": {"baseSeconds": 1, "capSeconds": 1}}
    start(processes, valkey, worker(valkey, retry=retry)).wait_until_ready()
    wait_for_records(valkey, 6)
    wait_for_records(valkey, 2, LETTERS)
    wait_until_settled(valkey)
    with valkey.client() as client:
        payloads = [payload_of(entry) for entry in client.lrange(OUTBOX, 0, -1)]
        letters = [payload_of(entry) for entry in client.lrange(LETTERS, 0, -1)]
    letter = '{"id":1180591620717411303424,"refuse":"no","half":"\\ud800","nan":NaN}'
    assert sorted(payloads) == sorted([*values.values(), values["big"], letter])
    assert all("1180591620717411303424" in text for text in letters)


@pytest.mark.parametrize("pool", ["Prefork", "Threads"])
def test_p1_a_dead_letter_holds_the_payload_as_it_came_whatever_the_attempt(
    valkey: Valkey, processes: Processes, pool: str
) -> None:
    failing = [
        f'{{ "id" : "{name}", "price": 1.10, "n": 1e2,"fail": "no", "u": "\\u00fc", "id2": 18446744073709551617}}'
        for name in ("a", "b")
    ]
    refused = '{"id": "c",\n"refuse" : "no", "price":1.10}'
    for text in (*failing, refused):
        headers = b'"headrace":{"topic":"%s","messageId":"1:2:3:4","properties":{}}' % TOPIC.encode()
        with valkey.client() as client:
            client.lpush(QUEUE, envelopes("shop.price", QUEUE)(str(uuid.uuid4()), text.encode(), headers))
    call(valkey, "shop.mail", body='[ [ "nobody", 1.10 ], {"more":1e2}, {}]')
    start(processes, valkey, worker(valkey, celery=runtime(pool))).wait_until_ready()
    wait_for_records(valkey, 3)
    wait_for_records(valkey, 1, LETTERS)
    with valkey.client() as client:
        assert sorted(payload_of(entry) for entry in client.lrange(OUTBOX, 0, -1)) == sorted([*failing, refused])
        assert '"args":["nobody",1.10],"kwargs":{"more":1e2}' in client.lrange(LETTERS, 0, -1)[0]


def payload_of(record: str) -> str:
    """The very text of a record's payload."""
    return (
        record.removeprefix('{"type":"Result","payload":')
        .removeprefix('{"type":"DeadLetter","payload":')
        .partition(',"key":')[0]
    )
