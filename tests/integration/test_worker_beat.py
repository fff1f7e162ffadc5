"""Periodic tasks: one scheduler of several is active, and each tick is queued once."""

import base64
import json
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.valkey import Valkey
from tests.integration.beat_tasks import TICKS
from tests.integration.dataplane import Headrace, Processes, resource, wait_for

STATES = "headrace:{test/shop}:beat"


def worker(valkey: Valkey, **celery: Any) -> dict[str, Any]:
    app = {"app": "tests.integration.beat_tasks:app", "pool": "Threads", "beat": {"enabled": True}, **celery}
    return resource("ValkeyWorker", "shop", {"valkey": {"url": valkey.url}, "celery": app})


def ticks(valkey: Valkey) -> dict[str, list[str]]:
    """The task ids that were queued, by entry."""
    found: dict[str, list[str]] = {}
    with valkey.client() as client:
        for entry in client.lrange(TICKS, 0, -1):
            message = json.loads(entry)
            [name], *_ = json.loads(base64.b64decode(message["body"]))
            found.setdefault(name, []).append(message["headers"]["id"])
    return found


def set_last_run(valkey: Valkey, name: str, ago: timedelta) -> None:
    with valkey.client() as client:
        last = datetime.now(UTC) - ago
        client.hset(STATES, name, json.dumps({"lastRunAt": last.isoformat(), "runs": 7}))


def wait_for_more(valkey: Valkey) -> None:
    before = len(ticks(valkey).get("often", ()))
    wait_for(lambda: len(ticks(valkey).get("often", ())) > before + 2, "more periodic tasks")


def active(running: Headrace) -> bool:
    return running.metric("headrace_worker_beat_active") == 1


def test_p1_p2_each_tick_is_queued_once_wherever_a_scheduler_is_frozen_or_killed(
    valkey: Valkey, processes: Processes
) -> None:
    """Also what fell due while nobody ran; and an entry that cannot be sent harms no other."""
    for name in ("overdue", "impossible"):
        set_last_run(valkey, name, timedelta(hours=5))
    set_last_run(valkey, "hourly", timedelta(minutes=50))
    send = "headrace.celery.beat_store:BeatStore.send"
    first = processes.start("worker", worker(valkey), deadly=f"{send}@before#5!stopped")
    wait_for(first.frozen, "the first one is frozen before it sends")
    second = processes.start("worker", worker(valkey), deadly=f"{send}#9")
    wait_for_more(valkey)
    first.signal(signal.SIGCONT)
    assert second.process.wait(20) == -signal.SIGKILL  # after it sent
    wait_for(lambda: active(first), "the first one takes over again")
    wait_for_more(valkey)
    assert first.metric("headrace_worker_beat_skipped_total", entry="impossible") == 1
    assert first.stop() == 0
    sent = ticks(valkey)
    with valkey.client() as client:
        assert not client.exists(f"{STATES}:lease")
        states = {name: json.loads(state) for name, state in client.hgetall(STATES).items()}
    assert sorted(sent) == ["often", "overdue"]
    assert len(set(sent["often"])) == len(sent["often"]) == states["often"]["runs"]
    assert len(sent["overdue"]) == 1
    assert (states["overdue"]["runs"], states["hourly"]["runs"]) == (8, 7)


def test_p5_an_outage_of_valkey_stops_periodic_tasks_and_ends_nothing(valkey: Valkey, processes: Processes) -> None:
    pod = processes.start("worker", worker(valkey)).wait_until_ready()
    wait_for_more(valkey)
    valkey.kill()
    wait_for(lambda: "periodic tasks wait" in pod.log(), "it is noticed")
    assert pod.get("/livez")[0] == 200
    valkey.start()
    wait_for_more(valkey)
    sent = ticks(valkey)["often"]
    assert len(set(sent)) == len(sent)


def test_periodic_tasks_without_any_are_a_mistake(valkey: Valkey, processes: Processes) -> None:
    pod = processes.start(
        "worker",
        worker(valkey, app="tests.integration.shop_tasks:app"),
        environment={"SHOP_VALKEY": valkey.url},
    )
    assert pod.process.wait(20) == 78
    assert "has no beat_schedule" in pod.termination()
