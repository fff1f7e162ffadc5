"""The demo's producer and ledger on a real broker."""

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pulsar as client_library
import pytest

from demo import data
from demo.app import ledger, producer
from testbed.pulsar import Pulsar

EVENTS = 1_000
CANCELLED = 4


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo's image holds."""
    folder = tmp_path_factory.mktemp("flights")
    data.write(folder, EVENTS)
    return folder


@pytest.fixture
def topics(pulsar: Pulsar) -> dict[str, str]:
    """Three fresh topics that keep what is in them."""
    run = uuid.uuid4().hex[:8]
    names = {each: f"persistent://public/default/{each}-{run}" for each in ("events", "results", "dead-letters")}
    for name in names.values():
        path = name.replace("persistent://", "persistent/")
        for method, suffix, body in (
            ("PUT", "", b""),
            ("POST", "/retention", b'{"retentionTimeInMinutes": -1, "retentionSizeInMB": -1}'),
        ):
            request = urllib.request.Request(f"{pulsar.admin_url}/admin/v2/{path}{suffix}", body, method=method)
            request.add_header("Content-Type", "application/json")
            urllib.request.urlopen(request, timeout=10).close()
    return names


def forward(service_url: str, topics: dict[str, str], lose: int = 0) -> None:
    """Do what the pipeline does, in one process: each event once, cancelled flights to the dead letters."""
    client: Any = client_library.Client(service_url)
    reader = client.create_reader(topics["events"], client_library.MessageId.earliest)
    results = client.create_producer(topics["results"])
    dead_letters = client.create_producer(topics["dead-letters"])
    seen: set[str] = set()
    while reader.has_message_available():
        event = json.loads(reader.read_next(timeout_millis=10_000).data())
        if event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        if event["dep_time"] is None:
            reason = {"HEADRACE_REASON": "Refused", "HEADRACE_ERROR": "cancelled"}
            dead_letters.send_async(json.dumps(event).encode(), lambda *_: None, properties=reason)
        elif len(seen) > lose:
            outcome = {"event_id": event["event_id"], "delay": "on time", "weather": "fair"}
            results.send_async(json.dumps(outcome).encode(), lambda *_: None)
    results.flush()
    dead_letters.flush()
    client.close()


def send_and_balance(
    broker: Pulsar, topics: dict[str, str], capsys: pytest.CaptureFixture[str], lose: int
) -> tuple[int, dict[str, object]]:
    """Run producer, pipeline and ledger; return the ledger's exit code and report."""
    producer.main([f"--service-url={broker.service_url}", f"--topic={topics['events']}", f"--events={EVENTS}"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"sent": EVENTS + EVENTS // 100, "complete": True}
    forward(broker.service_url, topics, lose)
    code = ledger.main(
        [
            f"--service-url={broker.service_url}",
            f"--events={topics['events']}",
            f"--results={topics['results']}",
            f"--dead-letters={topics['dead-letters']}",
        ]
    )
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_p1_p2_the_ledger_balances_what_the_topics_hold(
    pulsar: Pulsar,
    topics: dict[str, str],
    flights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(producer, "FLIGHTS_FILE", flights / "flights.jsonl.gz")
    code, report = send_and_balance(pulsar, topics, capsys, lose=0)
    assert code == 0
    assert (report["sent"], report["unique"]) == (EVENTS + EVENTS // 100, EVENTS)
    assert (report["results"], report["dead_letters"]) == (EVENTS - CANCELLED, CANCELLED)
    assert (report["lost"], report["duplicated"], report["unknown"]) == (0, 0, 0)
    assert report["reasons"] == {"Refused": CANCELLED}


def test_p1_the_ledger_names_what_is_lost(
    pulsar: Pulsar,
    topics: dict[str, str],
    flights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(producer, "FLIGHTS_FILE", flights / "flights.jsonl.gz")
    code, report = send_and_balance(pulsar, topics, capsys, lose=2)
    assert code == 1
    assert report["lost"] == 2
    assert report["examples"] == ["2013-01-01T05:15-UA-1545-EWR", "2013-01-01T05:29-UA-1714-LGA"]
