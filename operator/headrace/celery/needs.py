"""What a worker in mode Celery needs of Valkey: to take, hold and settle tasks, to leave records, to store results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headrace.api import task_count
from headrace.api.celery_broker import BrokerType
from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.transport.keys import Keys
from headrace.process.needs import Need


def of_worker(worker: ValkeyWorker, app: Any) -> list[Need]:
    """What the worker needs while nothing of it is refused."""
    found: list[Need] = []
    if worker.broker.type is BrokerType.VALKEY:
        found += _of_queues(worker.key_prefix, [queue.name for queue in worker.celery.queues])
    spec = worker.spec
    lists = [each.key for each in (spec.outbox, spec.dead_letter) if each is not None]
    if lists:
        found += _of_records(worker.key_prefix, lists)
    if worker.celery.results.enabled and not app.conf.task_ignore_result:
        found += _of_results(app.backend.get_key_for_task("0").decode())
    return found


def _of_queues(prefix: str, queues: Sequence[str]) -> Iterator[Need]:
    for queue in queues:
        for suffix in task_count.PRIORITY_SUFFIXES:
            key = f"{queue}{suffix}"
            yield Need(key, "list", ("BLMOVE", key, key, "RIGHT", "RIGHT", "1"))
            yield Need(key, "list", ("RPOP", key))
            yield Need(key, "list", ("LPUSH", key, ""))
            yield Need(key, "list", ("RPUSH", key, ""))
    keys = Keys(prefix)
    yield Need(keys.owners, "zset", ("ZADD", keys.owners, "0", ""))
    yield Need(keys.looked, "string", ("SET", keys.looked, ""))
    for key in (keys.unacked(""), keys.staged(""), keys.deliveries):
        yield Need(key, "hash", ("HGET", key, ""))
        yield Need(key, "hash", ("HSET", key, "", ""))
        yield Need(key, "hash", ("HDEL", key, ""))


def _of_records(prefix: str, lists: Sequence[str]) -> Iterator[Need]:
    for key in lists:
        yield Need(key, "list", ("LPUSH", key, ""))
    mark = f"{prefix}:done:"
    yield Need(mark, "string", ("SET", mark, "1", "NX", "EX", "1"))


def _of_results(key: str) -> Iterator[Need]:
    yield Need(key, "string", ("SET", key, "", "EX", "1"))
    yield Need(key, "", ("PUBLISH", key, ""))
