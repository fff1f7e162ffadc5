"""Servers that only the integration tests need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api_server import ApiServer
from tests.integration.dataplane import Processes


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API without controllers that the operator's tests share, each module in a namespace of its own."""
    with ApiServer(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts bridges and workers, and ends them with the test."""
    started = Processes(tmp_path)
    yield started
    started.end()
