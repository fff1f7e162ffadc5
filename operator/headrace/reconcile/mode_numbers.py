"""What waits for a worker with a plain handler: which questions to ask Valkey, and what the answers mean. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Polling, ScoreUnit
from headrace.reconcile.snapshot import Numbers


def questions(worker: ValkeyWorker, now: float) -> list[tuple[str, ...]]:
    """The commands whose answers :func:`numbers` reads. *now*: seconds since 1970, for what is due."""
    spec, prefix = worker.spec, worker.key_prefix
    if spec.stream is not None:
        asked: list[tuple[str, ...]] = [("XINFO GROUPS", spec.stream.key), ("ZCARD", f"{prefix}:stream:leases")]
    else:
        waits = _due(spec.polling, now) if spec.polling else ("LLEN", f"{prefix}:channels:received")
        asked = [waits, ("ZCARD", f"{prefix}:polled:leases")]
    return asked + [("LLEN", each.key) for each in (spec.outbox, spec.dead_letter) if each]


def numbers(worker: ValkeyWorker, answers: Sequence[Any]) -> Numbers:
    """The live numbers; what is not a number counts as unknown."""
    spec = worker.spec
    waiting, *rest = answers
    if spec.stream is not None:
        waiting = lag(waiting, spec.stream.group) if isinstance(waiting, list) else None
    known = [answer if isinstance(answer, int) else None for answer in (waiting, *rest)]
    key = spec.stream.key if spec.stream else spec.polling.key if spec.polling else None
    return Numbers(
        backlog=known[0],
        in_flight=known[1],
        outbox=known[2] if spec.outbox else None,
        dead_letters=known[-1] if spec.dead_letter else None,
        queues=((key, known[0]),) if key is not None and known[0] is not None else (),
    )


def lag(groups: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """What a group of a stream has not read; None when Valkey does not know."""
    for group in groups:
        if group["name"] == name.encode():
            return None if group["lag"] is None else int(group["lag"])
    return None


def _due(polling: Polling, now: float) -> tuple[str, ...]:
    if polling.zset is not None:
        due = now if polling.zset.unit is ScoreUnit.SECONDS else now * 1000
        return "ZCOUNT", polling.key, "-inf", str(due)
    return "LLEN" if polling.list else "HLEN", polling.key
