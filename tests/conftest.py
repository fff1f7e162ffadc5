"""Real servers for the tests: started once where they may be shared, fresh where they may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from testbed import environment, images, leftovers
from testbed.environment import Environment
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey

# how long an example takes says more about the machine than about the code
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")

CRDS = Path(__file__).parents[1] / "crds"


@pytest.fixture(scope="session")
def pulsar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulsar]:
    """A Pulsar broker on loopback that all tests share: use names of your own, leave it running."""
    with Pulsar(tmp_path_factory.mktemp("pulsar")) as broker:
        yield broker
        broker.kill()  # nobody needs its data: an orderly end takes five seconds


@pytest.fixture
def own_pulsar(tmp_path: Path) -> Iterator[Pulsar]:
    """A Pulsar broker of this test alone, which it may stop, kill or freeze."""
    with Pulsar(tmp_path / "pulsar") as broker:
        yield broker
        broker.kill()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh Valkey server of this test alone, which it may stop, kill or freeze."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def bare_cluster() -> Environment:
    """A cluster with nothing of Headrace in it. The Makefile stops it after the last test."""
    return environment.up()


@pytest.fixture(scope="module")
def kubernetes_api(bare_cluster: Environment) -> Iterator[Environment]:
    """An API server that knows the CRDs, but no operator; they go after the module, for the chart brings its own."""
    bare_cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
    bare_cluster.kubectl("wait", "--for=condition=Established", f"--filename={CRDS}", "--timeout=30s")
    yield bare_cluster
    bare_cluster.kubectl("delete", f"--filename={CRDS}", "--ignore-not-found", "--wait", "--timeout=60s")


@pytest.fixture(scope="session")
def cluster(bare_cluster: Environment) -> Environment:
    """The cluster with the images of operator and worker as the working copy has them."""
    for name in (images.OPERATOR, images.WORKER):
        bare_cluster.load_image(name)
    return bare_cluster


def pytest_sessionstart() -> None:
    """End the servers of an earlier test run that was killed."""
    leftovers.remove_orphans()


# The test bed's own tests stop and start the cluster, so they come before those that fill it.
CLUSTER = ("tests/integration/test_testbed_", "tests/contract/", "tests/e2e/")
# Cheap before dear.
ORDER = (*CLUSTER, "tests/unit/", "tests/integration/", "tests/faults/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by folder, in `ORDER`; inside a folder they stay as they are."""

    def place(item: pytest.Item) -> int:
        return next((index for index, prefix in enumerate(ORDER) if item.nodeid.startswith(prefix)), len(ORDER))

    items.sort(key=place)


class Modules(LoadScopeScheduling):
    """A module's tests run in one process, and all that need the cluster in the same, since there is one cluster.

    `--dist=loadgroup` would do that, but with pytest 9.2 pytest-xdist 3.8 does not see any group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith(CLUSTER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Modules:
    """Side by side by modules."""
    return Modules(config, log)
