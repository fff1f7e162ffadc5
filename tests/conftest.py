"""Real servers for the tests: started once where they may be shared, fresh where they may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

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


# What needs the cluster runs in one process, since there is one cluster, and begins first, since it takes longest. The
# test bed's own tests stop and start it, so they come before those that fill it. Of the rest the cheap come before the
# dear.
CLUSTER = ("integration/test_testbed_", "contract/", "e2e/")
ORDER = (*CLUSTER, "unit/", "integration/", "faults/")


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by folder, in `ORDER`; inside a folder they stay as they are. A module's tests stay together."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(tests).as_posix()
        return next((index for index, prefix in enumerate(ORDER) if name.startswith(prefix)), len(ORDER))

    items.sort(key=place)
    for item in items:
        needs_cluster = "bare_cluster" in getattr(item, "fixturenames", ()) or place(item) < len(CLUSTER)
        item.add_marker(pytest.mark.xdist_group("cluster" if needs_cluster else item.path.name))
