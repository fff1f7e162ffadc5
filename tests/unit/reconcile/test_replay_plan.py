"""What the status, the condition and the events say of a replay."""

from typing import Any

from headrace.api.replay import Replay
from headrace.reconcile.plan import Plan
from headrace.reconcile.snapshot import Numbers, Snapshot
from tests.unit.reconcile.bodies import INPUTS, body, live, message, plan, pulsar_as_wanted, states

REPLAY = {"id": "a", "from": "DeadLetter", "match": "reason == 'Timeout'"}


def bridge(**replay: Any) -> dict[str, Any]:
    return body("PulsarBridge", replay={**REPLAY, **replay})


def seen(made: dict[str, Any], run: dict[str, str] | None, before: Plan | None = None) -> Plan:
    made = {**made, "status": before.status} if before else made
    return plan(
        Snapshot(made, INPUTS, live(made), pulsar=pulsar_as_wanted(), numbers=Numbers(replay=run)),
    )


def run(**fields: str) -> dict[str, str]:
    digest = Replay.model_validate(REPLAY).digest
    counts = {"matched": "5", "replayed": "4", "skipped": "2", "failed": "1"}
    return {"id": "a", "digest": digest, "phase": "Running", "message": "", **counts, **fields}


def test_a_run_is_told_from_its_beginning_to_its_end() -> None:
    made = bridge()
    pending = seen(made, {})
    assert pending.status["replay"]["phase"] == "Pending"
    assert "Replaying" not in states(pending)
    running = seen(made, run(started="2026-11-21T11:59:00Z", **{"at t-0": "7:8:-1", "at t-1": "9:1:-1"}), pending)
    assert states(running)["Replaying"] == ("True", "Progressing")
    assert states(running)["Ready"] == ("True", "Succeeded")
    assert running.status["replay"] == {
        "id": "a",
        "phase": "Running",
        "started": "2026-11-21T11:59:00Z",
        "matched": 5,
        "replayed": 4,
        "skipped": 2,
        "failed": 1,
        "resumePosition": "t-1 9:1:-1",
    }
    assert not [event for event in running.events if event.reason.startswith("Replay")]
    ended = run(phase="Completed", problem="7:8:-1 stays: it was replayed 3 times, and maxReplays is 3.")
    over = seen(made, ended, running)
    assert "Replaying" not in states(over)
    (event,) = over.events
    assert (event.type, event.reason) == ("Warning", "ReplayCompleted")
    assert event.message.startswith("Replay a: 5 matched, 4 replayed, 2 skipped, 1 failed. 7:8:-1 stays")
    # P3: told once, and at rest nothing is written
    rest = seen(made, ended, over)
    assert rest.events == ()
    assert rest.status == over.status


def test_what_holds_a_run_up_stands_in_the_condition() -> None:
    made = seen(bridge(), run(message="Waits: the topic x-DLQ does not exist"))
    assert states(made)["Replaying"] == ("True", "Progressing")
    assert message(made, "Replaying") == "Replay a runs. Waits: the topic x-DLQ does not exist"


def test_an_id_that_stands_for_another_run_is_refused() -> None:
    made = seen(bridge(match="reason == 'Refused'"), run(phase="Completed"))
    assert states(made)["Replaying"] == ("False", "ReplayRefused")
    assert "ran with other parameters: give another id" in message(made, "Replaying")
    faster = seen(bridge(ratePerSecond=5, state="Paused"), run(phase="Paused"))
    assert "Replaying" not in states(faster)


def test_a_replay_that_the_spec_names_no_more_is_forgotten_and_an_outage_forgets_nothing() -> None:
    before = seen(bridge(), run())
    away = seen(bridge(), None, before)
    assert away.status["replay"] == before.status["replay"]
    gone = seen(body("PulsarBridge"), None, before)
    assert "replay" not in gone.status
    other = seen(bridge(id="b"), {}, before)
    assert (other.status["replay"]["id"], other.status["replay"]["phase"]) == ("b", "Pending")


def test_match_that_is_no_jmespath_stalls() -> None:
    made = plan(Snapshot(bridge(match="reason =="), INPUTS))
    assert states(made)["Stalled"] == ("True", "InvalidSpec")
    assert "not a JMESPath expression" in message(made)
