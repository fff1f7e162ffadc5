"""What each broker changes in Celery's settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery.app import base

from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery import rabbitmq
from headrace.celery.brokers import access_of
from headrace.celery.settings import settings
from headrace.celery.sqs import delay_seconds
from headrace.process.configuration import FatalConfigurationError, Secrets
from headrace.process.valkey_server import ValkeyServer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def found(root: Path, broker: dict[str, Any], **celery: Any) -> dict[str, Any]:
    spec = {"valkey": {"url": "valkey://host"}, "celery": {"app": "a:b", "broker": broker, **celery}}
    worker = parse(ValkeyWorker, {"metadata": {"namespace": "n", "name": "w"}, "spec": spec})
    secrets = Secrets(root)
    return settings(worker, ValkeyServer.of(worker.spec.valkey, secrets), access_of(worker, secrets))


def mounted(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def test_p1_rabbitmq_confirms_and_keeps(tmp_path: Path) -> None:
    block = {"url": "amqps://rabbit", "virtualHost": "a/b", "auth": {"secretRef": {"name": "r"}}}
    values = found(
        mounted(tmp_path, rabbitmq__username="me", rabbitmq__password="p:w@"), {"type": "RabbitMQ", "rabbitmq": block}
    )
    assert values["broker_url"] == "amqp://me:p%3Aw%40@rabbit:5671/a%2Fb"
    assert values["broker_transport_options"]["confirm_publish"] is True
    assert values["task_default_queue_type"] == values["task_create_missing_queue_type"] == "quorum"
    assert values["broker_use_ssl"]["server_hostname"] == "rabbit"
    assert values["result_backend"].endswith("://host:6379/1")


def test_a_secret_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    block = {"url": "amqp://rabbit", "auth": {"secretRef": {"name": "r"}}}
    with pytest.raises(FatalConfigurationError, match="rabbitmq/username is missing"):
        found(tmp_path, {"type": "RabbitMQ", "rabbitmq": block})


def test_sqs_is_found_by_region_or_endpoint(tmp_path: Path) -> None:
    values = found(tmp_path, {"type": "SQS", "sqs": {"region": "eu-west-1"}})
    assert (values["broker_url"], values["broker_transport_options"]["is_secure"]) == ("sqs://", True)
    mounted(tmp_path, sqs__AWS_ACCESS_KEY_ID="id", sqs__AWS_SECRET_ACCESS_KEY="s/e+c")
    block = {"region": "eu-west-1", "endpointUrl": "http://moto:5000", "auth": {"secretRef": {"name": "a"}}}
    values = found(tmp_path, {"type": "SQS", "sqs": block})
    assert values["broker_url"] == "sqs://id:s%2Fe%2Bc@moto:5000"
    assert values["broker_transport_options"]["is_secure"] is False


@pytest.mark.parametrize(
    ("eta", "seconds"),
    [
        (None, 0),
        ("yesterday", 0),
        ("2026-11-21T11:59:00+00:00", 0),
        ("2026-11-21T12:00:01.500000+00:00", 2),
        ("2026-11-21T13:00:10+01:00", 10),
        ("2026-11-21T12:00:10", 10),
        ("2026-11-22T12:00:00+00:00", 900),
    ],
)
def test_sqs_holds_back_what_is_not_due(eta: str | None, seconds: int) -> None:
    assert delay_seconds({"eta": eta}, NOW) == seconds


def test_a_countdown_below_a_second_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "calculate_routing_key", base.calculate_routing_key)
    rabbitmq.install()
    assert base.calculate_routing_key(0, "pricing").endswith(".0.1.pricing")
