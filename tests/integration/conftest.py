"""Servers that only the integration tests need."""

from collections.abc import Iterator

import pytest

from tests.integration.api_server import ApiServer


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API without controllers that the operator's tests share, each module in a namespace of its own."""
    with ApiServer(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
