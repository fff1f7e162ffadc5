"""What the status says of a bridge's replay. Pure."""

from collections.abc import Mapping
from typing import Any

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay
from headrace.api.status import ConditionType, Reason, ReplayPhase, Status
from headrace.reconcile.conditions import Finding
from headrace.reconcile.outcome import status_of
from headrace.reconcile.plan import Event
from headrace.reconcile.snapshot import Snapshot

_COUNTS = ("matched", "replayed", "skipped", "failed")
_ENDED = (ReplayPhase.COMPLETED, ReplayPhase.CANCELLED, ReplayPhase.FAILED)


def replay_status(bridge: PulsarBridge, snapshot: Snapshot) -> dict[str, Any] | None:
    """``status.replay``: the run of the spec's id, as the pods wrote it down; as it was while Valkey is away."""
    replay, run = bridge.spec.replay, snapshot.numbers.replay
    if replay is None:
        return None
    if run is None:
        known = _known(snapshot)
        return dict(known) if known.get("id") == replay.id else _pending(replay)
    if run.get("id") != replay.id or run.get("phase") not in list(ReplayPhase):
        return _pending(replay)
    phase = ReplayPhase(run["phase"])
    message = replay.refusal(ended=phase in _ENDED) if _is_refused(replay, run) else _message(run)
    found = {
        "id": replay.id,
        "phase": str(phase),
        "message": message or None,
        "started": run.get("started"),
        "finished": run.get("finished"),
        **{name: int(run.get(name, "0")) for name in _COUNTS},
        "resumePosition": _resume_position(run),
    }
    return {name: value for name, value in found.items() if value is not None}


def replay_findings(bridge: PulsarBridge, snapshot: Snapshot) -> list[Finding]:
    """Replaying: true while it runs, false with a reason while something is wrong with it, else none."""
    kind, replay, status = ConditionType.REPLAYING, bridge.spec.replay, replay_status(bridge, snapshot)
    if replay is None or status is None:
        return []
    phase, message = ReplayPhase(status["phase"]), str(status.get("message", ""))
    if _is_refused(replay, snapshot.numbers.replay or {}):
        return [Finding(kind, Status.FALSE, Reason.REPLAY_REFUSED, message)]
    if phase is ReplayPhase.RUNNING:
        return [Finding.good(kind, f"Replay {replay.id} runs. {message}".rstrip(), Reason.PROGRESSING)]
    if phase is ReplayPhase.FAILED:
        return [Finding(kind, Status.FALSE, Reason.REPLAY_FAILED, f"Replay {replay.id}: {message}")]
    return []


def replay_events(bridge: PulsarBridge, snapshot: Snapshot) -> list[Event]:
    """One event when a run ends."""
    status, known = replay_status(bridge, snapshot), _known(snapshot)
    if status is None or status["phase"] not in _ENDED:
        return []
    if (known.get("id"), known.get("phase")) == (status["id"], status["phase"]):
        return []
    counts = ", ".join(f"{status[name]} {name}" for name in _COUNTS)
    text = f"Replay {status['id']}: {counts}. {status.get('message', '')}".rstrip()
    odd = status["phase"] == ReplayPhase.COMPLETED and "message" in status
    bad = status["phase"] == ReplayPhase.FAILED or status["failed"] > 0 or odd
    return [Event("Warning" if bad else "Normal", f"Replay{status['phase']}", text)]


def _known(snapshot: Snapshot) -> Mapping[str, Any]:
    known = status_of(snapshot.body).get("replay")
    return known if isinstance(known, Mapping) else {}


def _pending(replay: Replay) -> dict[str, Any]:
    return {"id": replay.id, "phase": str(ReplayPhase.PENDING), **dict.fromkeys(_COUNTS, 0)}


def _is_refused(replay: Replay, run: Mapping[str, str]) -> bool:
    return run.get("id") == replay.id and run.get("digest") != replay.digest


def _message(run: Mapping[str, str]) -> str:
    """What holds it up; else why a message could not go."""
    return run.get("message") or run.get("problem") or ""


def _resume_position(run: Mapping[str, str]) -> str | None:
    """The partition that is at work, or was last, and how far it is."""
    positions = sorted(name for name in run if name.startswith("at "))
    return f"{positions[-1].removeprefix('at ')} {run[positions[-1]]}" if positions else None
