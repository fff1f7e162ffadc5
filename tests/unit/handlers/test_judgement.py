"""What becomes of a message, without a server."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Format, Stream
from headrace.bridge.record import converter
from headrace.bridge.routing import EntryFormat, Routing, Target
from headrace.handlers import reading
from headrace.handlers.judgement import Fate, Judge, Judgement
from headrace.handlers.reservations import Delivery, Settling
from headrace.tasks import Message, Refused


class Mute(Exception):  # noqa: N818
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def judge(**spec: Any) -> Judge:
    polling = {"list": {"key": "orders"}, "handler": "a:b"}
    body = {"valkey": {"url": "valkey://h"}, "mode": "Polling", "polling": polling, **spec}
    return Judge(parse(ValkeyWorker, {"metadata": {"namespace": "n", "name": "w"}, "spec": body}))


def delivery(payload: bytes | list[bytes] = b"{}", attempt: int = 1, extra: bytes = b"") -> Delivery:
    return Delivery("1-0", attempt, b"orders", extra, payload)


def message(payload: Any = None) -> Message:
    return Message(payload, "1-0", "orders", 1, {"traceparent": "00-1"})


def record(judged: Judgement) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(judged.verdict.record)
    return found


OUTBOX = {"outbox": {"key": "out"}}
LETTERS = {"deadLetter": {"key": "dead"}}


def test_results_go_to_the_outbox_and_none_is_no_result() -> None:
    both = judge(**OUTBOX, **LETTERS)
    assert both.lists == ("out", "dead")
    judged = both.succeeded(delivery(), message(), {"price": 7})
    assert (judged.verdict.settling, judged.verdict.list_number, judged.fate) == (Settling.DONE, 1, Fate.SUCCEEDED)
    assert record(judged)["payload"] == {"price": 7}
    assert record(judged)["properties"] == {"traceparent": "00-1"}
    assert both.succeeded(delivery(), message(), None).verdict.list_number == 0
    assert judge(**LETTERS).succeeded(delivery(), message(), 7).verdict.list_number == 0


@pytest.mark.parametrize(("spec", "number"), [({}, 0), (OUTBOX, 1), (LETTERS, 1), (OUTBOX | LETTERS, 2)])
def test_dead_letters_go_to_their_list_else_to_the_outbox_else_nowhere(spec: dict[str, Any], number: int) -> None:
    judged = judge(**spec).failed(delivery(), message(1), Refused("why"))
    assert (judged.fate, judged.reason, judged.verdict.list_number) == (Fate.BURIED, "Refused", number)


def test_a_bridge_reads_the_records_of_a_handler() -> None:
    rules = judge(**OUTBOX)
    target = Target("persistent://a/b/c", 0)
    read = converter(Routing(target, target, EntryFormat.OUTBOX, None, "PulsarBridge/n/b"))
    result = read(rules.succeeded(delivery(), message(), {"price": 7}).verdict.record)
    assert (result.payload, result.reason, result.properties) == (b'{"price":7}', None, {"traceparent": "00-1"})
    letter = read(rules.failed(delivery(attempt=3), message({"id": 1}), ValueError("no")).verdict.record)
    assert (letter.payload, letter.reason) == (b'{"id":1}', "HandlerFailed")


def test_failures_are_tried_again_only_when_the_resource_says_so_and_not_for_ever() -> None:
    again = judge(retry={"maxAttempts": 3, "backoff": {"baseSeconds": 2, "factor": 3, "jitter": False}})
    waits = [again.failed(delivery(attempt=attempt), message(), ValueError("no")).verdict for attempt in (1, 2, 3)]
    assert [(each.settling, each.wait_milliseconds) for each in waits] == [
        (Settling.RETRY, 2000),
        (Settling.RETRY, 6000),
        (Settling.DONE, 0),
    ]
    assert judge().failed(delivery(), message(), ValueError("no")).fate is Fate.BURIED


def test_what_took_its_pod_down_again_and_again_is_not_started_again() -> None:
    assert judge().lost(delivery(attempt=5), message()) is None
    lost = judge(**LETTERS).lost(delivery(attempt=6), message())
    assert lost is not None
    assert (lost.reason, record(lost)["attempts"]) == ("WorkerLost", 5)


def test_p7_whatever_a_handler_returns_or_raises_there_is_an_end() -> None:
    rules = judge(**OUTBOX)
    assert "not JSON" in record(rules.succeeded(delivery(), message(), {1: object()}))["error"]
    for error in (Mute(), ValueError("\ud800"), SystemExit(3), RecursionError()):
        assert rules.failed(delivery(), message(), error).reason == "HandlerFailed"
    raw = rules.failed(delivery(b"\xff"), message(b"\xff"), ValueError("no"))
    assert base64.b64decode(record(raw)["payloadBase64"]) == b"\xff"


def test_p7_what_cannot_be_read_says_why() -> None:
    stream = reading.entries(Stream(key="orders", handler="a:b", payload_field="order"))
    cases: list[tuple[reading.Read, Delivery, str]] = [
        (reading.polled(Format.JSON, None), delivery(b"{"), "not JSON"),
        (reading.polled(Format.JSON, "VALKEY_FIELD"), delivery(extra=b"\xff"), "VALKEY_FIELD is not UTF-8"),
        (reading.published(Format.RAW), delivery(b"no length"), "not written as"),
        (stream, delivery([b"other", b"1"]), "no field order"),
        (stream, delivery([b"order", b"1", b"x", b"\xff"]), "x is not UTF-8"),
    ]
    for read, taken, text in cases:
        with pytest.raises(reading.UnreadableError, match=text) as caught:
            read(taken)
        assert judge(**LETTERS).unreadable(taken, caught.value).reason == "InvalidRecord"


def test_celery_is_not_imported_by_the_other_modes() -> None:
    code = "import sys, headrace.worker.handling; sys.exit(any(name in sys.modules for name in ('celery', 'kombu')))"
    environment = {**os.environ, "PYTHONPATH": str(Path(headrace.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
