"""Real servers for the tests: started once where they may be shared, fresh where they may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey


@pytest.fixture(scope="session")
def pulsar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulsar]:
    """A Pulsar broker on loopback that all tests share: use names of your own, leave it running."""
    with Pulsar(tmp_path_factory.mktemp("pulsar")) as broker:
        yield broker


@pytest.fixture
def own_pulsar(tmp_path: Path) -> Iterator[Pulsar]:
    """A Pulsar broker of this test alone, which it may stop, kill or freeze."""
    with Pulsar(tmp_path / "pulsar") as broker:
        yield broker


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh Valkey server of this test alone, which it may stop, kill or freeze."""
    with Valkey(tmp_path / "valkey") as server:
        yield server
