"""Celery's results in Valkey: as the stock backend keeps them, in fewer round trips, and a success stays."""

import ssl
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
import redis
from celery import chord, group, states
from celery.app import backends
from celery.exceptions import ChordError
from celery.utils.imports import load_extension_class_names

from testbed.valkey import Valkey
from tests.integration.celery_worker import CeleryWorker
from tests.integration.dataplane import ROOT, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # by the stock backend

BACKEND = "headrace.celery.results:Backend+"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("results")) as server:
        yield server


def backend(server: Valkey, form: str = BACKEND, **settings: Any) -> Any:
    """A backend of *form*: ours, or stock Celery's when that is empty."""
    url = server.url if form else server.url.replace("valkey://", "redis://")
    app = celery.Celery("results", backend=form + url, set_as_current=False)
    app.conf.update(accept_content=["json", "pickle"], **settings)
    return app.backend


def calls(server: Valkey) -> dict[str, int]:
    """Commands that clients sent since the last reset, and those of scripts."""
    with server.client() as client:
        return {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in client.info("commandstats").items()}


def test_a_state_is_stored_in_one_round_trip_under_the_stock_key(server: Valkey) -> None:
    ours, stock, identity = backend(server), backend(server, form=""), str(uuid.uuid4())
    ours.store_result("warm-up", 0, states.SUCCESS)
    with server.client() as client:
        client.config_resetstat()
        ours.store_result(identity, {"price": 7}, states.SUCCESS)
        counted = calls(server)
        assert (counted["evalsha"], counted["set"], counted["publish"]) == (1, 1, 1)
        assert not counted.keys() & {"get", "multi", "eval"}
        assert 86_000 < int(client.ttl(f"celery-task-meta-{identity}")) <= 86_400
    stock.store_result(other := str(uuid.uuid4()), {"price": 7}, states.SUCCESS)
    ignored = {"date_done": None, "task_id": None}
    assert stock.get_task_meta(identity) | ignored == ours.get_task_meta(other) | ignored


@pytest.mark.parametrize("settings", [{}, {"result_serializer": "pickle"}, {"result_compression": "gzip"}])
@pytest.mark.parametrize("first", [BACKEND, ""])
def test_p2_a_success_is_never_overwritten(server: Valkey, first: str, settings: dict[str, Any]) -> None:
    ours, before, identity = backend(server, **settings), backend(server, form=first, **settings), str(uuid.uuid4())
    for state in (states.STARTED, states.RETRY, states.FAILURE, states.SUCCESS):
        before.store_result(identity, ValueError("odd") if state == states.RETRY else "first", state)
        if state != states.SUCCESS:
            ours.store_result(identity, "mine", states.STARTED)
            assert ours.get_state(identity) == states.STARTED
    ours.store_result(identity, "second", states.SUCCESS)
    ours.store_result(identity, ValueError("too late"), states.FAILURE)
    assert (ours.get_state(identity), ours.get_result(identity)) == (states.SUCCESS, "first")


def test_a_failure_is_kept_as_long_as_its_own_setting_says(server: Valkey) -> None:
    ours = backend(server, result_expires=0, result_failure_expires=60)
    ours.store_result("kept", 1, states.SUCCESS)
    ours.store_result("short", ValueError("no"), states.FAILURE)
    with server.client() as client:
        assert client.ttl("celery-task-meta-kept") == -1
        assert 0 < int(client.ttl("celery-task-meta-short")) <= 60


def test_p1_p5_a_result_waits_until_valkey_is_back(tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey") as server:
        ours = backend(server, result_backend_always_retry=True)
        ours.store_result("before", 1, states.SUCCESS)
        server.kill()
        server.start()  # its scripts are gone, and so is our connection
        ours.store_result("after", 2, states.SUCCESS)
        assert (ours.get_result("before"), ours.get_result("after")) == (1, 2)


def test_callers_hear_of_results_groups_and_chords(server: Valkey, tmp_path: Path) -> None:
    broker = server.url
    environment = {"RESULTS_BROKER": broker, "RESULTS_BACKEND": BACKEND + server.url}
    with CeleryWorker.start("tests.integration.result_tasks", tmp_path, environment, "--pool=threads"):
        app = celery.Celery("caller", broker=broker, backend=BACKEND + server.url, set_as_current=False)

        def add(left: int, right: int) -> Any:
            return app.signature("results.add", (left, right))

        total = app.signature("results.total")
        assert add(1, 2).delay().get(timeout=20) == 3
        with pytest.raises(ValueError, match="no luck"):
            app.signature("results.fail", ("no luck",)).delay().get(timeout=20)
        many = group([add(number, number) for number in range(50)], app=app).apply_async()
        assert many.get(timeout=20) == [2 * number for number in range(50)]
        assert chord([add(number, 0) for number in range(20)], total, app=app).delay().get(timeout=20) == sum(range(20))
        nested = chord([group(add(1, 1), add(2, 2), app=app), add(3, 3)], total.clone(), app=app)
        assert nested.delay().get(timeout=20) == 12
        broken = chord([add(1, 1), app.signature("results.fail", ("no luck",))], total, app=app).delay()
        wait_for(broken.failed, "the chord fails with its task")
        assert isinstance(broken.result, ChordError)
        chained = (add(1, 1) | app.signature("results.add", (5,))).delay()
        assert chained.get(timeout=20) == 7


def test_its_urls_are_found_by_entry_point(server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    installed = tmp_path / "headrace-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: headrace\nVersion: 0\n")
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items()) for name, found in groups.items()
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(backends, "load_extension_class_names", load_extension_class_names.__wrapped__)  # no cache
    plain = celery.Celery(backend=server.url, set_as_current=False).backend
    plain.store_result("by-entry-point", 1, states.SUCCESS)
    assert plain.get_result("by-entry-point") == 1
    secure = celery.Celery(backend="valkeys://:odd%40word@cache:6380/3", set_as_current=False).backend
    assert secure.connparams["connection_class"] is redis.SSLConnection
    assert secure.connparams["ssl_cert_reqs"] == ssl.CERT_REQUIRED
    assert (secure.connparams["password"], secure.connparams["db"]) == ("odd@word", 3)
    assert "odd" not in secure.as_uri()
    hosts = "valkey-sentinel://a:1/2;valkey-sentinel://b:2/2"
    watched = celery.Celery(backend=hosts, set_as_current=False)
    watched.conf.result_backend_transport_options = {"master_name": "shop"}
    assert [(host["host"], host["port"]) for host in watched.backend.connparams["hosts"]] == [("a", 1), ("b", 2)]
    assert watched.backend.connparams["db"] == 2
    assert watched.backend.client.connection_pool.service_name == "shop"
