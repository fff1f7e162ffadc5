"""The operator as a process: restarts, leaders, signals, probes, settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.valkey import Valkey
from tests.integration.api_server import ApiServer
from tests.integration.operator_bed import (
    ROOT,
    Kubernetes,
    OperatorProcess,
    at_rest,
    operator,
    wait_for,
    worker_spec,
)


@pytest.fixture
def kube(api_server: ApiServer, request: pytest.FixtureRequest) -> Kubernetes:
    """A namespace of the test's own."""
    made = Kubernetes(api_server.kubeconfig, request.node.name.replace("_", "-")[:60].strip("-"))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def leads(process: OperatorProcess) -> bool:
    """Whether it leads."""
    return process.metric("headrace_operator_leader") == 1


def test_p3_a_restart_writes_nothing(kube: Kubernetes, shared_valkey: Valkey, tmp_path: Path) -> None:
    with operator(kube, tmp_path / "first") as process:
        kube.create("ValkeyWorker", "stays", spec=worker_spec(shared_valkey.url))
        kube.create("ValkeyWorker", "changes", spec=worker_spec(shared_valkey.url))
        kube.ready("ValkeyWorker", "stays", "stays-worker")
        kube.ready("ValkeyWorker", "changes", "changes-worker")
        at_rest(kube, process)
        assert process.stop() == 0
    versions = kube.versions()
    with operator(kube, tmp_path / "second") as process:
        wait_for("some passes", lambda: process.passes() >= 6)
        assert process.writes() == 0
        assert kube.versions() == versions
        process.stop()
        kube.merge("ValkeyWorker", "changes", {"spec": {"replicas": 4}})
        kube.delete("Service", "changes-worker")
    with operator(kube, tmp_path / "third"):
        wait_for("4 replicas", lambda: kube.get("Deployment", "changes-worker")["spec"]["replicas"] == 4)
        wait_for("the Service", lambda: kube.get("Service", "changes-worker"))


def test_a_stopped_leader_hands_over_at_once(kube: Kubernetes, shared_valkey: Valkey, tmp_path: Path) -> None:
    with operator(kube, tmp_path / "one") as one, operator(kube, tmp_path / "two") as two:
        wait_for("a leader", lambda: leads(one) or leads(two))
        leader, follower = (one, two) if leads(one) else (two, one)
        kube.create("ValkeyWorker", "led", spec=worker_spec(shared_valkey.url))
        kube.ready("ValkeyWorker", "led", "led-worker")
        assert follower.writes() == 0
        assert leader.stop() == 0
        wait_for("the new leader", lambda: leads(follower), 8)
        kube.merge("ValkeyWorker", "led", {"spec": {"replicas": 3}})
        wait_for("3 replicas", lambda: kube.get("Deployment", "led-worker")["spec"]["replicas"] == 3)


def test_a_frozen_leader_loses_the_lease_and_writes_no_more(
    kube: Kubernetes, shared_valkey: Valkey, tmp_path: Path
) -> None:
    with operator(kube, tmp_path / "old") as old:
        wait_for("the leader", lambda: leads(old))
        with operator(kube, tmp_path / "new") as new:
            kube.create("ValkeyWorker", "fenced", spec=worker_spec(shared_valkey.url))
            kube.ready("ValkeyWorker", "fenced", "fenced-worker")
            old.send(signal.SIGSTOP)
            try:
                kube.merge("ValkeyWorker", "fenced", {"spec": {"replicas": 3}})
                wait_for("the new leader", lambda: leads(new), 30)
                wait_for("3 replicas", lambda: kube.get("Deployment", "fenced-worker")["spec"]["replicas"] == 3)
            finally:
                old.send(signal.SIGCONT)
            before = wait_for("the old one", lambda: old.writes())
            wait_for("that it gives up", lambda: not leads(old))
            kube.ready("ValkeyWorker", "fenced", "fenced-worker")
            assert leads(new)
            at_rest(kube, new)
            assert old.writes() == before


def test_probes_and_metrics_answer(kube: Kubernetes, tmp_path: Path) -> None:
    with operator(kube, tmp_path / "log") as process:
        assert process.get("/livez") == (200, "ok\n")
        assert process.get("/readyz") == (200, "ok\n")
        page = process.get("/metrics")
        assert page is not None
        for name in ("reconcile_total", "reconcile_seconds", "queue_depth", "leader", "api_writes_total"):
            assert f"headrace_operator_{name}" in page[1]
        assert process.get("/else") is not None


def test_a_periodic_look_finds_what_no_watch_told(kube: Kubernetes, shared_valkey: Valkey, tmp_path: Path) -> None:
    with operator(kube, tmp_path / "log", HEADRACE_RESYNC_SECONDS="1") as process:
        kube.create("ValkeyWorker", "looked-at", spec=worker_spec(shared_valkey.url))
        kube.ready("ValkeyWorker", "looked-at", "looked-at-worker")
        at_rest(kube, process, passes=20)
        assert process.get("/livez") == (200, "ok\n")


def test_an_outage_of_the_api_server_is_survived(shared_valkey: Valkey, tmp_path: Path) -> None:
    with ApiServer(tmp_path / "kubernetes") as server:
        kube = Kubernetes(server.kubeconfig, "outage")
        kube.prepare()
        with operator(kube, tmp_path / "log") as process:
            kube.create("ValkeyWorker", "survives", spec=worker_spec(shared_valkey.url))
            kube.ready("ValkeyWorker", "survives", "survives-worker")
            server.restart()
            kube.merge("ValkeyWorker", "survives", {"spec": {"replicas": 3}})
            wait_for("3 replicas", lambda: kube.get("Deployment", "survives-worker")["spec"]["replicas"] == 3, 40)
            kube.ready("ValkeyWorker", "survives", "survives-worker")
            assert process.running


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HEADRACE_CONCURRENCY": "many"}, "HEADRACE_CONCURRENCY must be a number"),
        ({"KUBECONFIG": "/nowhere", "HEADRACE_HTTP_PORT": "0"}, "No cluster"),
    ],
)
def test_what_cannot_start_says_why(environment: dict[str, str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "headrace.cli", "operator"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == os.EX_CONFIG
    assert said in ended.stdout + ended.stderr
