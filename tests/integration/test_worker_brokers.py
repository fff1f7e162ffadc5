"""The same app, the same resource but for one field, on every broker."""

import json
import uuid
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import celery
import pytest

from testbed.rabbitmq import RabbitMQ
from testbed.sqs import SQS
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, resource, wait_for

APP = "tests.integration.shop_tasks:app"
OUTBOX, LETTERS = "outbox", "letters"


@dataclass
class Broker:
    """One broker with what a worker and a producer must know of it."""

    name: str
    valkey: Valkey
    spec: dict[str, Any]
    """`spec.celery.broker`."""
    secrets: dict[str, str] = field(default_factory=dict)
    producer: dict[str, Any] | None = None
    """Settings of a producer outside Headrace; None where nobody outside can send."""
    celery: dict[str, Any] = field(default_factory=dict)
    """More of `spec.celery` that this broker needs."""
    queue: str = field(default_factory=lambda: f"pricing-{uuid.uuid4().hex[:8]}")

    def resource(self, **changes: Any) -> dict[str, Any]:
        runtime = {"app": APP, "queues": [{"name": self.queue}], "concurrency": 2, "broker": self.spec}
        spec = {
            "valkey": {"url": self.valkey.url},
            "celery": {**runtime, **self.celery},
            "outbox": {"key": OUTBOX, "tasks": ["shop.price"]},
            "deadLetter": {"key": LETTERS},
            "retry": {"maxAttempts": 2, "backoff": {"baseSeconds": 1, "capSeconds": 1}},
            **changes,
        }
        return resource("ValkeyWorker", "shop", spec)

    def send(self, *orders: dict[str, Any]) -> None:
        """Call the task for each order, as a program outside does."""
        assert self.producer is not None
        settings = {"task_default_queue": self.queue, **self.producer}
        with celery.Celery("producer", set_as_current=False, changes=settings) as app:
            for order in orders:
                app.send_task("shop.price", (order,))

    def start(self, processes: Processes, *first: tuple[str, str, Any], **changes: Any) -> Headrace:
        """Start a worker; *first* are orders that it is sent, by whoever can."""
        environment = {"SHOP_VALKEY": self.valkey.url}
        if self.producer is None:
            environment["SHOP_FIRST_ORDERS"] = json.dumps(first)
        else:
            settings = {"task_default_queue": self.queue, **self.producer}
            with celery.Celery("producer", set_as_current=False, changes=settings) as app:
                for identity, task, argument in first:
                    app.send_task(task, (argument,), task_id=identity)
        return processes.start("worker", self.resource(**changes), secrets=self.secrets, environment=environment)

    def records(self, key: str = OUTBOX) -> list[dict[str, Any]]:
        with self.valkey.client() as client:
            return [json.loads(entry) for entry in client.lrange(key, 0, -1)[::-1]]

    def wait_for_records(self, number: int, key: str = OUTBOX) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.records(key)) >= number, f"{number} records in {key}", 60)
        return self.records(key)

    def runs(self, name: str) -> int:
        with self.valkey.client() as client:
            return int(client.get(f"note:{name}:runs") or 0)

    def result(self, identity: str) -> Any:
        with self.valkey.client(database=1) as client:
            return json.loads(client.get(f"celery-task-meta-{identity}") or "{}").get("result")


def on_rabbitmq(valkey: Valkey, server: RabbitMQ) -> Broker:
    return Broker(
        "rabbitmq",
        valkey,
        {"type": "RabbitMQ", "rabbitmq": {"url": server.url, "auth": {"secretRef": {"name": "rabbitmq"}}}},
        {"rabbitmq/username": server.username, "rabbitmq/password": server.password},
        {
            "broker_url": server.login_url,
            "broker_transport_options": {"confirm_publish": True},
            "task_default_queue_type": "quorum",
            "task_default_exchange_type": "topic",
        },
    )


def on_sqs(valkey: Valkey, server: SQS, visibility_seconds: int = 60) -> Broker:
    block = {
        "region": server.region,
        "endpointUrl": server.url,
        "queueNamePrefix": "test-",
        "visibilityTimeoutSeconds": visibility_seconds,
        "auth": {"secretRef": {"name": "aws"}},
    }
    login = f"{server.access_key_id}:{quote(server.secret_access_key, safe='')}"
    return Broker(
        "sqs",
        valkey,
        {"type": "SQS", "sqs": block},
        {"sqs/AWS_ACCESS_KEY_ID": server.access_key_id, "sqs/AWS_SECRET_ACCESS_KEY": server.secret_access_key},
        {
            "broker_url": f"sqs://{login}@{server.url.removeprefix('http://')}",
            "broker_transport_options": {
                "region": server.region,
                "is_secure": False,
                "queue_name_prefix": "test-",
                "visibility_timeout": visibility_seconds,
            },
        },
    )


@pytest.fixture(params=["Valkey", "RabbitMQ", "SQS", "Memory"])
def broker(request: pytest.FixtureRequest, valkey: Valkey) -> Broker:
    """Each broker in turn; with threads, as the crash below is with processes."""
    threads = {"pool": "Threads"}
    match request.param:
        case "RabbitMQ":
            return replace(on_rabbitmq(valkey, request.getfixturevalue("rabbitmq")), celery=threads)
        case "SQS":
            return replace(on_sqs(valkey, request.getfixturevalue("sqs")), celery=threads)
        case "Memory":
            return Broker("memory", valkey, {"type": "Memory"}, celery=threads)
    return Broker("valkey", valkey, {"type": "Valkey"}, {}, {"broker_url": valkey.url.replace("valkey:", "redis:")})


def test_results_retries_and_dead_letters_on_every_broker(broker: Broker, processes: Processes) -> None:
    running = broker.start(
        processes,
        ("1", "shop.price", {"id": "good"}),
        ("2", "shop.price", {"id": "refused", "refuse": "the flight was cancelled"}),
        ("3", "shop.price", {"id": "failing", "fail": "no luck"}),
        ("4", "shop.price", {"id": "rejected", "reject": "not today"}),
        ("5", "shop.mail", "somebody"),
        ("6", "shop.unknown", "whatever"),
    ).wait_until_ready(90)
    found = {record["reason"]: record for record in broker.wait_for_records(4)}
    assert found[None]["payload"] == {"id": "good", "price": 7}
    assert found["Refused"]["error"] == "the flight was cancelled"
    assert (found["TaskFailed"]["attempts"], broker.runs("failing")) == (2, 2)
    assert found["Rejected"]["payload"]["args"] == [{"id": "rejected", "reject": "not today"}]
    [unknown] = broker.wait_for_records(1, LETTERS)
    assert unknown["reason"] == "TaskNotFound"
    wait_for(lambda: broker.result("5") == "sent to somebody", "the result arrives")
    assert broker.result("1") == {"id": "good", "price": 7}
    assert broker.runs("good") == 1
    wait_for(lambda: "celery_queue_length{" in running.get("/metrics")[1], "the queue is measured")
    wait_for(lambda: running.metric("celery_queue_length", queue_name=broker.queue) == 0, "nothing waits")
    assert running.metric("headrace_worker_dead_letters_total", reason="Rejected") == 1
    assert running.stop() == 0
    for secret in broker.secrets.values():
        assert secret not in running.log()


@pytest.fixture(params=["RabbitMQ", "SQS"])
def crash_proof(request: pytest.FixtureRequest, valkey: Valkey) -> Broker:
    """Each broker beside Valkey that outlives its workers; SQS hands out again after a short time."""
    if request.param == "RabbitMQ":
        return on_rabbitmq(valkey, request.getfixturevalue("rabbitmq"))
    return on_sqs(valkey, request.getfixturevalue("sqs"), visibility_seconds=6)


def test_p1_p2_p7_a_killed_worker_loses_nothing_and_a_deadly_task_ends(
    crash_proof: Broker, processes: Processes
) -> None:
    names = [f"o{number}" for number in range(4)]
    first = crash_proof.start(
        processes,
        *((name, "shop.price", {"id": name, "seconds": 2}) for name in names),
        ("deadly", "shop.price", {"id": "deadly", "die": True}),
    )
    wait_for(lambda: sum(crash_proof.runs(name) for name in names) >= 2, "both slots are busy", 90)
    first.kill()
    crash_proof.start(processes)
    records = crash_proof.wait_for_records(5)
    assert sorted(record["payload"]["id"] for record in records if record["reason"] is None) == names
    [letter] = [record for record in records if record["reason"] is not None]
    assert (letter["reason"], letter["payload"]["id"]) == ("WorkerLost", "deadly")


def test_p1_p5_an_outage_of_rabbitmq_shows_kills_nothing_and_loses_nothing(
    valkey: Valkey, rabbitmq: RabbitMQ, processes: Processes
) -> None:
    broker = on_rabbitmq(valkey, rabbitmq)
    names = [f"o{number}" for number in range(4)]
    broker.secrets |= {"rabbitmq/password": "wrong-password"}
    wrong = broker.start(processes)
    broker.secrets |= {"rabbitmq/password": rabbitmq.password}
    running = broker.start(processes, *((name, "shop.price", {"id": name, "seconds": 1}) for name in names))
    wait_for(lambda: sum(broker.runs(name) for name in names) >= 2, "the first two run", 90)
    rabbitmq.kill()
    wait_for(lambda: running.get("/readyz")[0] == 503, "it is not ready")
    assert running.get("/livez")[0] == 200
    rabbitmq.start()
    records = broker.wait_for_records(4)
    assert sorted(record["payload"]["id"] for record in records) == names
    running.wait_until_ready(60)
    assert running.process.poll() is None
    wait_for(lambda: "ACCESS_REFUSED" in wrong.log(), "what RabbitMQ refuses is said", 60)
    assert wrong.process.poll() is None
    assert "wrong-password" not in wrong.log()
