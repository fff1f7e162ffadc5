"""The transport for `valkey://`, with a real Valkey and workers of Celery's own."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.valkey import Valkey
from tests.integration.celery_worker import CeleryWorker
from tests.integration.dataplane import wait_for
from tests.integration.transport_bed import PREFIX, Bed, frozen

POOLS = ["prefork", "threads", "solo"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("transport")) as server:
        yield server


@pytest.fixture
def bed(server: Valkey, tmp_path: Path) -> Bed:
    with server.client() as client:
        client.flushall()
    return Bed(server, tmp_path)


def freeze(worker: CeleryWorker) -> None:
    worker.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: frozen(worker), "it is frozen")


@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_p1_a_worker_killed_while_it_waits_loses_nothing(server: Valkey, tmp_path: Path, stock: bool) -> None:
    """Celery's own transport takes the task off the list before anything says who has it, and shows the test works."""
    with server.client() as client:
        client.flushall()
        bed = Bed(server, tmp_path, stock=stock)
        with bed.worker("--pool=solo", "--without-mingle", "--without-gossip") as worker:
            wait_for(lambda: any(one["cmd"] in ("brpop", "blmove") for one in client.client_list()), "it waits")
            freeze(worker)
            bed.send("work", "one")
        lost = bed.waiting() == client.hlen("unacked") == bed.held() == 0
        assert lost is stock


@pytest.mark.parametrize("pool", POOLS)
def test_p1_tasks_of_a_killed_worker_run_again_within_seconds(bed: Bed, pool: str) -> None:
    with bed.worker(f"--pool={pool}", "--concurrency=2") as first:
        bed.send("work", "long", 600)
        bed.wait_for_notes("begin long")
        for number in range(5):
            bed.send("work", f"o{number}")
        if pool != "solo":
            bed.wait_for_notes("end o4")
        freeze(first)
        bed.send("work", "late")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(10)
    with bed.worker("--pool=threads", "--concurrency=8"):
        started = time.monotonic()
        bed.wait_for_notes(*(f"end o{number}" for number in range(5)), "end late")
        wait_for(lambda: bed.notes().count("begin long") == 2, "the long one runs again")
        assert time.monotonic() - started < 10
    assert bed.letters() == []


def test_p1_p2_a_long_task_keeps_its_lease_under_solo(bed: Bed) -> None:
    with bed.worker("--pool=solo") as _, bed.worker("--pool=solo"):
        bed.send("work", "long", 5)
        bed.wait_for_notes("end long")
        bed.wait_until_settled()
    assert bed.notes() == ["begin long", "end long"]


def test_p2_a_frozen_worker_that_wakes_up_is_fenced(bed: Bed) -> None:
    with bed.worker("--pool=solo", multiplier=8) as first:
        bed.send("work", "running", 600)
        bed.wait_for_notes("begin running")
        bed.send("work", "waiting")
        freeze(first)
        with bed.worker("--pool=threads", "--concurrency=4"):
            bed.wait_for_notes("end waiting")
            wait_for(lambda: bed.notes().count("begin running") == 2, "another runs it")
            first.process.send_signal(signal.SIGCONT)
            wait_for(lambda: "ran out" in first.log(), "it notices")
            assert bed.notes().count("begin waiting") == 1


def test_p7_a_message_that_takes_workers_down_ends_as_a_dead_letter(server: Valkey, tmp_path: Path) -> None:
    with server.client() as client:
        client.flushall()
    bed = Bed(server, tmp_path, delivery_limit=2)
    with bed.worker("--pool=prefork", "--concurrency=1"):
        bed.send("die", "poison")
        bed.send("work", "good")
        [letter] = wait_for(bed.letters, "the dead letter")
        bed.wait_for_notes("end good")
        bed.wait_until_settled()
    assert (letter["reason"], letter["attempts"], letter["queue"]) == ("DeliveryLimit", 3, "celery")
    assert '"task": "transport.die"' in letter["payload"]
    assert bed.notes().count("begin poison") == 3
    with server.client() as client:
        assert not client.exists(f"{PREFIX}:deliveries")


def test_p7_what_is_refused_or_no_message_ends_as_a_dead_letter(bed: Bed) -> None:
    with bed.server.client() as client:
        client.lpush("celery", "garbage")
        with bed.worker("--pool=threads", "--concurrency=2"):
            bed.send("refuse", "r", 2)
            bed.send("work", "good")
            wait_for(lambda: len(bed.letters()) == 2, "both dead letters")
            bed.wait_for_notes("end good")
            bed.wait_until_settled()
    invalid, rejected = bed.letters()
    assert (invalid["reason"], invalid["payload"]) == ("InvalidRecord", "garbage")
    assert (rejected["reason"], rejected["attempts"]) == ("Rejected", 3)
    assert [note for note in bed.notes() if note.startswith("r ")] == ["r 0 False", "r 1 True", "r 2 True"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("trouble", ["another type", "no right"])
def test_p1_p7_a_letter_that_finds_no_place_stays_with_its_worker_and_stops_nobody(
    server: Valkey, tmp_path: Path, pool: str, trouble: str
) -> None:
    with server.client() as client:
        client.flushall()
        keys = (
            "~celery",
            "~celery\x06*",
            "~*celery.pidbox*",
            "~celeryev*",
            "~headrace:*",
            "~_kombu*",
            "~unacked*",
            "~/*",
        )
        rights = ("~*",) if trouble == "another type" else keys
        client.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">secret", "+@all", "&*", *rights)
        if trouble == "another type":
            client.set("celery-dlq", "x")
        bed = Bed(server, tmp_path, url=server.url.replace("//", "//worker:secret@"))
        with bed.worker(f"--pool={pool}", "--concurrency=2") as worker:
            bed.send("refuse", "bad", 0)
            bed.wait_for_notes("bad 0 False")
            for number in range(5):
                bed.send("work", f"o{number}")
            bed.wait_for_notes(*(f"end o{number}" for number in range(5)))
            wait_for(lambda: "celery-dlq" in worker.log() and "trying again" in worker.log(), "it is told")
            wait_for(lambda: bed.held() == 1 and bed.waiting() == 0, "the message stays with the worker")
            client.delete("celery-dlq")
            client.execute_command("ACL", "SETUSER", "worker", "allkeys")
            wait_for(lambda: [letter["reason"] for letter in bed.letters()] == ["Rejected"], "the letter")
            bed.wait_until_settled()
            assert worker.process.poll() is None
            assert bed.notes().count("bad 0 False") == 1


@pytest.mark.parametrize("pool", ["prefork", "solo"])
@pytest.mark.parametrize("commands", ["hset", "rpop", "blmove", "zadd", "type", "eval evalsha script|load"])
def test_p1_p5_a_right_that_is_gone_for_a_while_ends_no_worker(bed: Bed, pool: str, commands: str) -> None:
    with bed.server.client() as client:
        client.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">secret", "+@all", "&*", "~*")
        bed.url = bed.url.replace("//", "//worker:secret@")
        with bed.worker(f"--pool={pool}", "--concurrency=2") as worker:
            bed.send("work", "before")
            bed.wait_for_notes("end before")
            bed.wait_until_settled()
            client.execute_command("ACL", "SETUSER", "worker", *(f"-{name}" for name in commands.split()))
            bed.send_as_admin("work", "while")
            wait_for(lambda: "; trying again" in worker.log() or "alkey does not hear" in worker.log(), "it is told")
            client.execute_command("ACL", "SETUSER", "worker", "+@all")
            bed.wait_for_notes("end while")
            bed.wait_until_settled()
            assert worker.process.poll() is None
            assert bed.notes().count("begin while") == 1


def test_p1_a_letter_that_finds_no_place_outlives_its_worker(bed: Bed) -> None:
    with bed.server.client() as client:
        client.set("celery-dlq", "x")
        with bed.worker("--pool=solo") as first:
            bed.send("refuse", "bad", 0)
            bed.wait_for_notes("bad 0 False")
            wait_for(lambda: "celery-dlq is a string" in first.log(), "it is told")
            first.process.terminate()
            first.process.wait(20)
        assert bed.held() + bed.waiting() == 1
        client.delete("celery-dlq")
        with bed.worker("--pool=solo"):
            wait_for(lambda: len(bed.letters()) == 1, "the letter")
            bed.wait_until_settled()


def test_priorities_come_in_steps_and_queues_get_a_share_each(bed: Bed) -> None:
    for number in range(3):
        for priority in (9, 6, 3, 0):
            bed.send("work", f"p{priority}-{number}", priority=priority)
    for number in range(8):
        bed.send("work", f"a{number}", queue="a")
    for number in range(4):
        bed.send("work", f"b{number}", queue="b")
    with bed.worker("--pool=solo", "--queues=celery,a,b", "--concurrency=1"):
        bed.wait_for_notes(*(f"end a{number}" for number in range(8)), *(f"end p9-{number}" for number in range(3)))
    order = [note.removeprefix("begin ") for note in bed.notes() if note.startswith("begin")]
    steps = [name for name in order if name.startswith("p")]
    assert steps == [f"p{priority}-{number}" for priority in (0, 3, 6, 9) for number in range(3)]
    assert {"p0-0", "a0", "b0"} <= set(order[:4])
    assert order.index("b3") < order.index("a6")


def test_p1_a_stopped_worker_gives_back_in_order_and_stock_workers_go_on(server: Valkey, tmp_path: Path) -> None:
    with server.client() as client:
        client.flushall()
        bed = Bed(server, tmp_path)
        with bed.worker("--pool=prefork", "--concurrency=1") as worker:
            bed.send("work", "first", 1)
            bed.wait_for_notes("begin first")
            for number in range(6):
                bed.send("work", f"o{number}", 0.1)
            bed.wait_for_notes("begin o0")
            worker.process.terminate()
            assert worker.process.wait(20) == 0
        assert bed.held() == 0
        assert not client.exists(f"{PREFIX}:owners", f"{PREFIX}:deliveries")
    stock = Bed(server, tmp_path, stock=True)
    with stock.worker("--pool=solo"):
        stock.wait_for_notes("end o5")
    begun = [note for note in bed.notes() if note.startswith("begin o")]
    assert begun == [f"begin o{number}" for number in range(6)]


def test_p1_what_a_stock_worker_left_is_taken_over(server: Valkey, tmp_path: Path) -> None:
    with server.client() as client:
        client.flushall()
        stock = Bed(server, tmp_path, stock=True)
        with stock.worker("--pool=solo") as worker:
            stock.send("work", "left", 600, priority=3)
            stock.wait_for_notes("begin left")
            wait_for(lambda: client.hlen("unacked") == 1, "it is held")
            worker.process.kill()
        bed = Bed(server, tmp_path, adopt_stock_unacked_seconds=0)
        with bed.worker("--pool=threads", "--concurrency=1"):
            wait_for(lambda: bed.notes().count("begin left") == 2, "it runs again")
        assert not client.exists("unacked", "unacked_index")


@pytest.mark.parametrize("pool", POOLS)
def test_countdowns_broadcasts_and_revocations(bed: Bed, pool: str) -> None:
    with bed.worker(f"--pool={pool}", "--concurrency=1"), bed.app() as app:
        inspect = app.control.inspect(timeout=2, limit=1)
        wait_for(inspect.ping, "it answers")
        app.control.revoke("revoked")
        wait_for(lambda: ["revoked"] in (inspect.revoked() or {}).values(), "the worker knows")
        started = time.monotonic()
        app.send_task("transport.work", ("revoked",), task_id="revoked")
        app.send_task("transport.work", ("later",), countdown=2)
        app.send_task("transport.work", ("expired",), expires=-1)
        app.send_task("transport.work", ("now",))
        bed.wait_for_notes("end now", "end later")
        assert time.monotonic() - started > 2
        bed.wait_until_settled()
    assert {note for note in bed.notes() if "revoked" in note or "expired" in note} == set()


@pytest.mark.parametrize("pool", POOLS)
def test_p1_p5_a_valkey_that_dies_and_comes_back_under_load(tmp_path: Path, valkey: Valkey, pool: str) -> None:
    with valkey.client() as client:
        client.config_set("appendfsync", "always")
    bed = Bed(valkey, tmp_path)
    names = [f"o{number}" for number in range(40)]
    with bed.app() as app:
        for name in names:
            app.send_task("transport.work", (name, 0.1))
    with bed.worker(f"--pool={pool}", "--concurrency=4") as worker:
        bed.wait_for_notes("end o3")
        valkey.kill()
        wait_for(lambda: "onnection" in worker.log() and "rror" in worker.log(), "it notices")
        valkey.start()
        bed.wait_for_notes(*(f"end {name}" for name in names))
        bed.wait_until_settled()
        assert worker.process.poll() is None
