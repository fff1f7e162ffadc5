"""Servers that only the integration tests need."""

from collections.abc import Iterator
from pathlib import Path

import pulsar as pulsar_library
import pytest

from testbed.rabbitmq import RabbitMQ
from testbed.sqs import SQS
from tests.integration.api_server import ApiServer
from tests.integration.dataplane import Processes
from tests.integration.encryption import key_pair


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API without controllers that the operator's tests share, each module in a namespace of its own."""
    with ApiServer(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ on loopback that the tests share: use queues of your own, and leave it running."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker
        broker.kill()


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQS]:
    """A stand-in for Amazon SQS that the tests share: use queues of your own."""
    with SQS(tmp_path_factory.mktemp("sqs")) as server:
        yield server


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts bridges and workers, and ends them with the test."""
    started = Processes(tmp_path)
    yield started
    started.end()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pulsar_library.CryptoKeyReader:
    """A key pair that bridges know nothing of."""
    return key_pair(tmp_path_factory.mktemp("keys"))
