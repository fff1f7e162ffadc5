# mypy: disallow-untyped-calls=False
"""Many calls at once: the messages that `apply_async()` makes, in few round trips, all of a batch or none, once."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import celery
import pytest
from celery import signals
from kombu.entity import Exchange, Queue

from headrace.celery.enqueue import BATCH_BYTES, Call, EnqueueError, enqueue_many
from testbed.loopback import HOST
from testbed.valkey import Valkey

LATER = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("enqueue")) as server:
        yield server


@pytest.fixture(params=["valkey", "redis"])
def app(server: Valkey, request: pytest.FixtureRequest) -> Iterator[celery.Celery]:
    """On our transport, and on the stock one."""
    with server.client() as client:
        client.flushall()
    app = application(server.url.replace("valkey", request.param))
    yield app
    app.close()


def application(broker: str) -> celery.Celery:
    app = celery.Celery("shop", broker=broker, backend="disabled://", set_as_current=False)
    app.conf.update(task_routes={"shop.routed": {"queue": "routed", "priority": 6}})
    for name in ("shop.add", "shop.routed"):
        app.task(name=name)(_add)
    return app


def _add(left: Any, right: Any = 0) -> None:
    """The body of the tasks; nobody runs it here."""


def messages(server: Valkey) -> dict[str, list[dict[str, Any]]]:
    """The messages of each list in the order of their arrival; those without a twin are no list's."""
    with server.client() as client:
        lists = {str(key): client.lrange(key, 0, -1)[::-1] for key in client.keys("*") if client.type(key) == "list"}
        client.delete(*lists, "none")
    return {key: [_comparable(json.loads(entry)) for entry in entries] for key, entries in lists.items()}


def _comparable(message: dict[str, Any]) -> dict[str, Any]:
    assert uuid.UUID(message["properties"].pop("delivery_tag"))
    if "expiration" in message["properties"]:  # milliseconds from now
        message["properties"]["expiration"] = round(int(message["properties"]["expiration"]) / 100_000)
    return message


@pytest.mark.parametrize(
    ("args", "kwargs", "options"),
    [
        ((1, 2), {}, {}),
        ((), {"left": "it's", "right": "größer"}, {"queue": "other", "priority": 4}),
        (([1, {"a": None}], {"b": 2.5}), {}, {"headers": {"trace": "t", "nested": {"a": [1]}}, "ignore_result": True}),
        ((LATER, Decimal("1.5")), {}, {"eta": LATER, "expires": LATER, "shadow": "s", "retries": 2}),
        ((uuid.UUID(int=7), "x" * 3000), {}, {"time_limit": 9, "soft_time_limit": 5, "compression": "gzip"}),
        ((1,), {}, {"serializer": "pickle", "reply_to": "somebody", "correlation_id_": None}),
        ((1,), {}, {"argsrepr": "(secret)", "group_id": "g", "root_id": "r", "parent_id": "p", "expires": LATER}),
        ((1,), {}, {"exchange": "", "routing_key": "raw", "delivery_mode": 1}),
    ],
)
def test_a_message_is_the_one_that_apply_async_makes(
    app: celery.Celery, server: Valkey, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> None:
    options.pop("correlation_id_", None)
    linked = {**options, "link": app.signature("shop.add", (9,), immutable=True)}
    add = app.tasks["shop.add"]
    for task in (
        add,
        app.tasks["shop.routed"],
        add.s(),
        app.signature("elsewhere.task", (7,), {"right": 8}, priority=9),
    ):
        extra = {} if task is not add else {"right": 3} if not kwargs and len(args) == 1 else {}
        ids = ["one", "two", "three"]  # the first is Celery's own, the others are made after it
        for identity in ids:
            task.apply_async(args, {**kwargs, **extra}, task_id=identity, **linked)
        expected = messages(server)
        assert enqueue_many(task, [Call(args, {**kwargs, **extra}, identity) for identity in ids], **linked) == ids
        assert messages(server) == expected


def test_calls_are_queued_in_order_in_few_round_trips(app: celery.Celery, server: Valkey) -> None:
    add = app.tasks["shop.add"]
    enqueue_many(add, [(0,)])
    messages(server)
    with server.client() as client:
        client.config_resetstat()
        ids = enqueue_many(add, ((number,) for number in range(1200)), countdown=3600)
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
    found = messages(server)["celery"]
    assert [message["headers"]["id"] for message in found] == ids
    assert len(set(ids)) == 1200
    assert [message["headers"]["argsrepr"] for message in found] == [f"({number},)" for number in range(1200)]
    assert all(message["headers"]["root_id"] == message["headers"]["id"] for message in found)
    waits = [datetime.fromisoformat(message["headers"]["eta"]) - datetime.now(UTC) for message in found]
    assert all(3500 < wait.total_seconds() <= 3600 for wait in waits)
    with server.client() as client:
        client.config_resetstat()
        enqueue_many(add, [("x" * BATCH_BYTES,), (1,)])
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2, "a batch is not longer than that"


def test_signals_events_and_routers_see_every_message(app: celery.Celery, server: Valkey) -> None:
    def trace(headers: Any = None, **_: Any) -> None:
        headers["seen"] = headers["id"]

    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
        return {"queue": f"queue-{args[0] % 2}"}

    app.conf.update(task_send_sent_event=True, task_routes=(route,))
    signals.before_task_publish.connect(trace)
    with server.client() as client, client.pubsub() as listener:
        listener.psubscribe("/0.celeryev/*")
        listener.get_message(timeout=5)
        try:
            ids = enqueue_many(app.tasks["shop.add"], [(number,) for number in range(4)])
        finally:
            signals.before_task_publish.disconnect(trace)
        events = [json.loads(listener.get_message(timeout=5)["data"])["headers"]["hostname"] for _ in range(4)]
        assert len(events) == 4
    found = messages(server)
    assert [message["headers"]["seen"] for message in found["queue-0"]] == ids[::2]
    assert [message["headers"]["id"] for message in found["queue-1"]] == ids[1::2]


def test_exchanges_and_expiring_queues_are_served(app: celery.Celery, server: Valkey) -> None:
    news = Exchange("news", type="topic")
    app.conf.task_queues = [
        Queue("all-news", news, routing_key="news.#"),
        Queue("one-news", news, routing_key="news.one"),
        Queue("short", routing_key="short", expires=600),
    ]
    enqueue_many(
        app.tasks["shop.add"], [(1,), (2,)], exchange="news", routing_key="news.one", declare=app.amqp.queues.values()
    )
    enqueue_many(app.tasks["shop.add"], [(3,)], queue="short")
    with server.client() as client:
        assert 500 < int(client.ttl("short")) <= 600
    assert {name: len(found) for name, found in messages(server).items()} == {"all-news": 2, "one-news": 2, "short": 1}


def test_p1_a_batch_that_valkey_refuses_is_not_there_at_all(app: celery.Celery, server: Valkey) -> None:
    add = app.tasks["shop.add"]
    app.conf.task_routes = (lambda name, args, *_, **__: {"queue": "text" if args[0] == 5 else "good"},)
    enqueue_many(add, [(5,)])  # its queue is known, and nobody looks at it again
    messages(server)
    with server.client() as client:
        client.set("text", "no list")
    with pytest.raises(EnqueueError, match="refused") as caught:
        enqueue_many(add, [(number,) for number in range(8)], batch_size=2)
    assert (len(caught.value.queued), len(caught.value.refused), caught.value.uncertain) == (4, 2, [])
    found = messages(server)["good"]
    assert [message["headers"]["id"] for message in found] == caught.value.queued


def test_a_call_that_does_not_fit_is_refused_with_its_batch(app: celery.Celery, server: Valkey) -> None:
    add = app.tasks["shop.add"]
    with pytest.raises(EnqueueError, match=r"call 5: .* missing 1 required") as caught:
        enqueue_many(add, [(1,), (2,), (3,), (4,), (5,), ()], batch_size=2)
    assert [message["headers"]["id"] for message in messages(server)["celery"]] == caught.value.queued
    assert (len(caught.value.queued), len(caught.value.refused)) == (4, 1)
    with pytest.raises(EnqueueError, match=r"not int: write \(5,\)"):
        enqueue_many(add, [5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="task_id: each call has its own"):
        enqueue_many(add, [(1,)], task_id="x")
    with pytest.raises(TypeError, match="a chain is more than one task"):
        enqueue_many(celery.chain(add.s(1), add.s(2)), [(1,)])
    app.conf.task_always_eager = True
    assert len(enqueue_many(add, [(1,), {"left": 2}])) == 2
    assert not messages(server)


class Cutter:
    """A proxy to Valkey that cuts the connection when a batch of ours went through, before its answer is seen."""

    def __init__(self, server: Valkey, cuts: int) -> None:
        self._target, self._cuts = (server.host, server.port), cuts
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as upstream:
            while request := client.recv(2**20):
                upstream.sendall(request)
                answer = upstream.recv(2**16)
                if b"headrace:enqueued:" in request and self._cuts and not answer.startswith(b"-"):
                    self._cuts -= 1
                    return
                client.sendall(answer)

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()


def test_p1_p2_a_batch_whose_answer_is_lost_is_sent_again_and_queued_once(server: Valkey) -> None:
    messages(server)
    proxy = Cutter(server, cuts=2)
    app = application(f"valkey://{HOST}:{proxy.port}/0")
    ids = enqueue_many(app.tasks["shop.add"], [(number,) for number in range(30)], batch_size=10)
    assert [message["headers"]["id"] for message in messages(server)["celery"]] == ids
    proxy = Cutter(server, cuts=100)
    app = application(f"valkey://{HOST}:{proxy.port}/0")
    with pytest.raises(EnqueueError, match="connection to Valkey is lost") as caught:
        enqueue_many(
            app.tasks["shop.add"], [(number,) for number in range(30)], batch_size=10, retry_policy={"max_retries": 2}
        )
    assert (caught.value.queued, len(caught.value.uncertain)) == ([], 10)
    assert [message["headers"]["id"] for message in messages(server)["celery"]] == caught.value.uncertain
    proxy.close()
