"""Probes, logs and configuration, without a process."""

import json
import logging
import pickle
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.process import health, logs
from headrace.process.configuration import FatalConfigurationError, Secrets, load
from headrace.process.failure import Failure
from headrace.process.metrics import exposition
from headrace.tasks import Refused


def test_p5_a_broker_that_is_away_makes_not_ready_and_never_not_live() -> None:
    one = health.Health()
    one.loop("orders")
    valkey, pulsar = (one.standing("orders", side) for side in ("valkey", "pulsar"))
    one.register()
    valkey.served()
    assert one.not_ready() == [f"orders: pulsar: {health.STARTING}"]
    assert one.not_live() == []
    pulsar.served()
    assert one.not_ready() == []


def test_p8_each_loop_is_counted_by_itself_and_a_side_is_as_well_as_its_worst_loop() -> None:
    connected = Gauge("c", "c", ["side"], registry=(registry := CollectorRegistry()))
    failures = Counter("f", "f", ["side", "reason"], registry=registry)
    one = health.Health(connected, failures)
    main, retry = (one.standing(loop, "pulsar") for loop in ("main", "retry"))
    one.register()
    main.failed(Failure("ConsumerBusy", "other consumers keep ours out"))
    retry.served()
    assert one.not_ready() == ["main: pulsar: ConsumerBusy: other consumers keep ours out"]
    assert registry.get_sample_value("c", {"side": "pulsar"}) == 0
    assert registry.get_sample_value("f_total", {"side": "pulsar", "reason": "ConsumerBusy"}) == 1
    main.served()
    assert one.not_ready() == []
    assert registry.get_sample_value("c", {"side": "pulsar"}) == 1
    main.failed(ValueError("what is that"))
    one.done("main")
    assert one.not_ready() == []


def test_p8_what_was_proved_long_ago_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    one = health.Health()
    said: list[Failure] = []
    standing = one.standing("orders", "pulsar", lambda: said[0] if said else None, patience_seconds=6)
    one.register()
    standing.served()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 7)
    silent = "orders: pulsar: Silent: nothing was moved, and nothing shows that it could be, for 7 s"
    assert one.not_ready() == [silent]
    said.append(Failure("ProducerBusy", "another keeps ours out"))
    assert one.not_ready() == ["orders: pulsar: ProducerBusy: another keeps ours out"]
    standing.rest()
    assert one.not_ready() == []
    standing.served()
    assert one.not_ready() == []


def test_a_loop_that_hangs_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    one = health.Health()
    tick = one.loop("the loop")
    monkeypatch.setattr(health, "PATIENCE_SECONDS", -1.0)
    assert one.not_live() == ["the loop did not turn for 0 s"]
    tick.pause()
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 1.0)
    assert one.not_live() == []


def test_p6_secrets_are_blotted_out_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        secrets: set[str] = set()
        logs.configure(secrets, "Kind/n/x")
        secrets.add("p@ss/word")
        try:
            raise ValueError("redis://:p%40ss%2Fword@host")
        except ValueError:
            logging.getLogger("any").exception("connecting with %s", "p@ss/word")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    line = capsys.readouterr().out
    assert json.loads(line)["message"] == "connecting with ******"
    assert json.loads(line)["resource"] == "Kind/n/x"
    assert "word" not in line


def test_samples_carry_the_resources_labels_unless_they_have_their_own() -> None:
    registry = CollectorRegistry()
    Gauge("depth", "Depth.", registry=registry).set(3)
    Counter("tasks", "Tasks.", ["name"], registry=registry).labels("shop.price").inc()
    spec = {"valkey": {"url": "valkey://h"}, "celery": {"app": "a:b"}}
    text = exposition(
        registry, parse(ValkeyWorker, {"metadata": {"namespace": "n", "name": "w"}, "spec": spec})
    ).decode()
    assert 'depth{name="w",namespace="n"} 3.0' in text
    assert 'tasks_total{name="shop.price",namespace="n"} 1.0' in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the configuration"),
        ("{", "line 1, column 2: it is no JSON"),
        ("[]", "line 1: it is no mapping"),
        ('{"kind": "PulsarBridge"}', "kind must be ValkeyWorker, not PulsarBridge"),
        ('{"kind": "ValkeyWorker", "metadata": {"name": "x"}, "spec": {"valky": 1}}', "spec.valky: unknown field"),
    ],
)
def test_a_bad_configuration_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FatalConfigurationError, match=message):
        load(ValkeyWorker, path)


def test_secrets_are_read_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "password").write_text("secret\n")
    (tmp_path / "valkey" / "empty").write_text("\n")
    secrets = Secrets(tmp_path)
    assert secrets.read("valkey/password") == "secret"
    assert secrets.values == {"secret"}
    assert secrets.read_optional("valkey/username") is None
    with pytest.raises(FatalConfigurationError, match="valkey/username is missing"):
        secrets.read("valkey/username")
    with pytest.raises(FatalConfigurationError, match="is empty"):
        secrets.read("valkey/empty")


def test_a_refusal_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(Refused("why"))).reason == "why"
