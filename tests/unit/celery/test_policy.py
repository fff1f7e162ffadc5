"""Settings, waits and records of the worker."""

from typing import Any

import pytest

from headrace.api.policy import Backoff, Retry
from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.brokers import access_of
from headrace.celery.settings import settings
from headrace.celery.transport.message import NotAMessageError, payload_of
from headrace.process import letters
from headrace.process.configuration import Secrets
from headrace.process.retry import wait_seconds
from headrace.process.valkey_server import ValkeyServer


def worker(name: str = "w", url: str = "valkey://host:6380/3", **celery: Any) -> ValkeyWorker:
    spec = {"valkey": {"url": url}, "celery": {"app": "a:b", **celery}, "terminationGracePeriodSeconds": 30}
    return parse(ValkeyWorker, {"metadata": {"namespace": "n", "name": name}, "spec": spec})


def found(one: ValkeyWorker) -> dict[str, Any]:
    return settings(one, ValkeyServer.of(one.spec.valkey, Secrets()), access_of(one, Secrets()))


def test_each_worker_has_in_flight_keys_of_its_own() -> None:
    keys = {found(worker(name))["broker_transport_options"]["key_prefix"] for name in ("a", "b")}
    assert keys == {"headrace:{n/a}", "headrace:{n/b}"}


def test_urls_are_those_that_celery_knows() -> None:
    assert found(worker())["broker_url"] == "valkey://host:6380/3"
    assert found(worker(results={"database": 5}))["result_backend"].endswith("+valkey://host:6380/5")
    assert found(worker(results={"enabled": False}))["result_backend"] == "disabled://"
    assert found(worker(url="valkeys://host"))["broker_url"] == "valkeys://host:6379/0"
    assert found(worker(url="valkeys://host"))["broker_use_ssl"]["ssl_check_hostname"] is True


def test_a_password_with_odd_signs_survives_the_url_and_hides_in_a_repr() -> None:
    server = ValkeyServer("host", 1, 0, False, password="a/b:c@d")
    assert server.celery_url() == "valkey://:a%2Fb%3Ac%40d@host:1/0"
    assert "a/b" not in repr(server)


def test_settings_that_lose_messages_are_fixed() -> None:
    values = found(worker())
    assert values["task_acks_late"] is values["task_reject_on_worker_lost"] is True
    assert values["broker_connection_max_retries"] is None
    assert values["broker_transport_options"]["socket_timeout"]


def test_tasks_get_the_grace_period_less_a_margin() -> None:
    assert worker().drain_seconds == 25


@pytest.mark.parametrize(("attempt", "low", "high"), [(1, 1, 2), (2, 3, 6), (3, 5, 10), (1000, 5, 10)])
def test_waits_grow_and_are_capped(attempt: int, low: float, high: float) -> None:
    retry = Retry(backoff=Backoff(base_seconds=2, factor=3, cap_seconds=10))
    assert all(low <= wait_seconds(retry, attempt) <= high for _ in range(50))


def test_without_jitter_waits_are_exact() -> None:
    assert wait_seconds(Retry(backoff=Backoff(base_seconds=2, factor=3, jitter=False)), 2) == 6


def test_a_result_does_not_inherit_what_marked_a_dead_letter() -> None:
    properties = {"tenant": "x", "HEADRACE_REASON": "Refused", "RECONSUMETIMES": "4", "REAL_TOPIC": "t"}
    record = letters.result(1, {"headrace": {"properties": properties, "key": "k"}, "traceparent": "00-a"})
    assert (record["properties"], record["key"]) == ({"tenant": "x", "traceparent": "00-a"}, "k")


def test_a_tasks_own_span_replaces_that_of_its_message() -> None:
    came = {"traceparent": "00-a-1", "tracestate": "a=1"}
    span = {"traceparent": "00-a-2"}
    assert letters.result(1, {"headrace": {"properties": came}, **span})["properties"] == span
    assert letters.result(1, {"headrace": {"properties": came}})["properties"] == came
    assert letters.result(1, came)["properties"] == came


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (b"\xff", "it is not valid UTF-8"),
        (b"[]", "shape"),
        (b'{"body": "", "properties": {"delivery_tag": "x"}}', "it has no delivery_info"),
        (
            b'{"body": "", "properties": {"delivery_tag": 1, "delivery_info": {"exchange": "", "routing_key": ""}}}',
            "shape",
        ),
    ],
)
def test_p7_entries_that_would_end_kombu_are_found_out(entry: bytes, problem: str) -> None:
    with pytest.raises(NotAMessageError, match=problem):
        payload_of(entry)
