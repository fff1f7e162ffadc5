# mypy: disallow-untyped-calls=False
"""Many calls of one task in few round trips, for applications: :func:`enqueue_many`.

Celery itself makes the first message of each batch; the others are that message with arguments and an id of their own.
Where they may differ in more than that (signals, routers and tasks with code of their own), Celery makes each.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import celery
from celery import canvas, signals
from celery.app.routes import MapRoute
from celery.utils.saferepr import saferepr
from kombu.utils.functional import retry_over_time
from kombu.utils.uuid import uuid as new_id
from redis.exceptions import ReadOnlyError, RedisError

from headrace.process.lua import script_text

BATCH_SIZE = 500
BATCH_BYTES = 4 * 1024 * 1024
"""A batch ends when its messages are longer together: the server does nothing else while it takes one."""
MARK_SECONDS = 3600
"""How long Valkey remembers that it took a batch: by far longer than any policy of retries."""

_SCRIPT = script_text("preflight", "enqueue", folders=(Path(__file__).parent,))
_ONE_CALL_ONLY = ("args", "kwargs", "task_id", "producer", "connection", "group_index")


@dataclass(frozen=True)
class Call:
    """One call: its arguments, and the task's id where it shall not be random."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    task_id: str | None = None


class EnqueueError(Exception):
    """Not all calls were queued. ``__cause__`` says why; what the three lists do not name was not sent."""

    def __init__(self, message: str, queued: list[str], uncertain: list[str], refused: list[str]) -> None:
        super().__init__(message)
        self.queued = queued
        """Ids of the tasks that are in Valkey."""
        self.uncertain = uncertain
        """Ids of the batch whose answer was lost: all of them are in Valkey, or none."""
        self.refused = refused
        """Ids of the batch that Valkey refused: none of them is there."""


def enqueue_many(
    task: Any,
    calls: Iterable[Call | Sequence[Any] | Mapping[str, Any]],
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> list[str]:
    """Call *task* (a task of the app, or a signature) once for each of *calls*, as ``apply_async(**options)`` does.

    A call is its positional arguments (a tuple or list), its keyword arguments (a mapping), or a :class:`Call`.
    *options* are those of ``apply_async`` and hold for all calls. *batch_size*: messages that go in one round trip.
    Returns the ids of the tasks; ``app.AsyncResult(id)`` is the result of one. With ``task_always_eager`` the tasks
    run here and now.

    A batch is queued as a whole or not at all, and once: when the connection breaks it is sent again, as the publishing
    retry policy says, and Valkey drops it if it took it before. Raises :class:`EnqueueError`, which tells what is
    queued, when Valkey is lost or refuses, and for a call that does not fit the task; the latter's batch is not sent.
    """
    if isinstance(task, canvas.Signature) and task.subtask_type:
        raise TypeError(f"a {task.subtask_type} is more than one task: give a task or the signature of one.")
    if wrong := options.keys() & set(_ONE_CALL_ONLY):
        raise TypeError(f"{', '.join(sorted(wrong))}: each call has its own; give Call(args, kwargs, task_id).")
    app: celery.Celery = task.app
    if app.conf.task_always_eager:
        return [task.apply_async(one.args, one.kwargs, task_id=one.task_id, **options).id for one in map(_call, calls)]
    queued: list[str] = []
    with app.producer_or_acquire() as producer:
        sender = _Sender(task, producer, options)
        remaining = map(_call, calls)
        while sender.send(remaining, batch_size, queued):
            pass
    return queued


def _call(one: Any) -> Call:
    if isinstance(one, Call):
        return one
    if isinstance(one, Mapping):
        return Call(kwargs=one)
    if isinstance(one, tuple | list):
        return Call(args=tuple(one))
    raise TypeError(f"a call is a tuple, a list, a mapping or a Call, not {type(one).__name__}: write ({one!r},).")


class _Recorder:
    """Stands in for a producer and keeps what Celery would publish."""

    def __init__(self, producer: Any) -> None:
        self.connection = producer.connection
        self.published: list[tuple[Any, dict[str, Any]]] = []

    def publish(self, body: Any, **parameters: Any) -> None:
        self.published.append((body, parameters))


class _Batch:
    """Messages under way: what kombu's channel would do for each, by command and key."""

    def __init__(self) -> None:
        self.mark = f"headrace:enqueued:{uuid.uuid4()}"
        self.ids: list[str] = []
        self.size = 0
        self.events: list[tuple[Any, dict[str, Any]]] = []
        self.policy: dict[str, Any] | None = None
        self._commands: dict[tuple[str, str], list[Any]] = {}

    def publish(self, channel: Any, message: Any, **parameters: Any) -> None:
        """Called by kombu's producer in place of sending."""
        channel.basic_publish(message, _publish_batch=self, **parameters)

    def add(self, command: str, key: str, argument: Any) -> None:
        """Called by kombu's channel for each command that the message needs."""
        if command == "pexpire":
            self._commands[command, key] = [argument]
            return
        self._commands.setdefault((command, key), []).append(argument)
        self.size += len(argument)

    def send(self, client: Any) -> None:
        """In one round trip."""
        keys: list[str] = [self.mark]
        arguments: list[Any] = [MARK_SECONDS]
        # what expires has to be there before
        for (command, key), given in sorted(self._commands.items(), key=lambda item: item[0][0] == "pexpire"):
            for one in [[each] for each in given] if command == "publish" else [given]:
                keys.append(key)
                arguments += [command, len(one), *one]
        client.register_script(_SCRIPT)(keys=keys, args=arguments)


class _Sender:
    """Makes messages and sends them."""

    def __init__(self, task: Any, producer: Any, options: dict[str, Any]) -> None:
        self._task, self._producer, self._options = task, producer, options
        self._app = task.app
        self._signature = task if isinstance(task, canvas.Signature) else None
        self._type = self._app.tasks.get(task.name if self._signature is None else self._signature.task)
        self._alike = self._are_alike()
        self._failures = (*producer.connection.connection_errors, ReadOnlyError)

    def _are_alike(self) -> bool:
        """Whether messages differ in no more than id and arguments."""
        kind, listeners = self._type, (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
        return (
            not any(signal.receivers for signal in listeners)
            and all(isinstance(route, MapRoute) for route in self._app.amqp.routes)
            and self._app.amqp.create_task_message == self._app.amqp.as_task_v2
            and not self._app.conf.task_send_sent_event
            and (kind is None or _is_plain(kind))
        )

    def send(self, calls: Iterator[Call], batch_size: int, queued: list[str]) -> bool:
        """Send one batch and add its ids to *queued*; False when no call was left."""
        batch = _Batch()
        try:
            self._fill(batch, calls, batch_size)
        except Exception as error:
            raise EnqueueError(f"call {len(queued) + len(batch.ids)}: {error}", queued, [], batch.ids) from error
        self._push(batch, queued)
        return bool(batch.ids)

    def _fill(self, batch: _Batch, calls: Iterator[Call], batch_size: int) -> None:
        make: Callable[[Call], list[tuple[Any, dict[str, Any]]]] = self._build
        with _collecting(self._producer, batch):
            for one in itertools.islice(calls, batch_size):
                published = make(one)
                for body, parameters in published:
                    headers = parameters["headers"]
                    if "task" not in headers:
                        batch.events.append((body, parameters))
                        continue
                    batch.policy = parameters["retry_policy"] if parameters["retry"] else None
                    self._producer.publish(body, **{**parameters, "retry": False, "headers": dict(headers)})
                    batch.ids.append(headers["id"])
                if self._alike and make == self._build:
                    make = self._like(*published[0])
                if batch.size > BATCH_BYTES:
                    return

    def _build(self, one: Call) -> list[tuple[Any, dict[str, Any]]]:
        """Let Celery make the message (and the event that tells of it)."""
        recorder = _Recorder(self._producer)
        options = {**self._options, "add_to_parent": False, "producer": recorder}
        self._task.apply_async(one.args, dict(one.kwargs), task_id=one.task_id or new_id(), **options)
        return recorder.published

    def _like(self, body: Any, parameters: dict[str, Any]) -> Callable[[Call], list[tuple[Any, dict[str, Any]]]]:
        """What makes messages like that one, with id and arguments of their own."""
        model, embed = parameters["headers"], body[2]
        is_root = model["root_id"] == model["id"]
        own = [name for name in ("argsrepr", "kwargsrepr") if self._options.get(name) is None]
        limit, levels = self._app.amqp, self._app.conf.task_repr_maxlevels
        sizes = {"argsrepr": limit.argsrepr_maxsize, "kwargsrepr": limit.kwargsrepr_maxsize}
        check = self._type.__header__ if self._type is not None and self._type.typing else None
        merge = self._signature._merge if self._signature is not None else None
        common = {**parameters, "declare": None}  # what the first message needs is there by now

        def make(one: Call) -> list[tuple[Any, dict[str, Any]]]:
            args, kwargs = one.args, dict(one.kwargs)
            if merge is not None:
                args, kwargs, _ = merge(args, kwargs)
            if check is not None:
                check(*args, **kwargs)
            task_id = one.task_id or new_id()
            headers = {**model, "id": task_id}
            if is_root:
                headers["root_id"] = task_id
            for name in own:
                headers[name] = represent(args if name == "argsrepr" else kwargs, sizes[name], levels)
            return [((args, kwargs, embed), {**common, "headers": headers, "correlation_id": task_id})]

        return make

    def _push(self, batch: _Batch, queued: list[str]) -> None:
        if not batch.ids:
            return
        connection = self._producer.connection

        def attempt() -> None:
            with self._producer.channel.conn_or_acquire() as client:
                batch.send(client)

        def wait(_: Exception, intervals: Iterator[float], __: int) -> float:
            return next(intervals)

        try:
            if batch.policy is None:
                attempt()
            else:
                names = ("max_retries", "interval_start", "interval_step", "interval_max")
                policy = {name: batch.policy[name] for name in names if name in batch.policy}
                retry_over_time(attempt, self._failures, errback=wait, **policy)
        except ReadOnlyError as error:
            raise EnqueueError("Valkey is a replica", queued, [], batch.ids) from error
        except connection.connection_errors as error:
            raise EnqueueError("the connection to Valkey is lost", queued, batch.ids, []) from error
        except RedisError as error:
            raise EnqueueError("Valkey refused a batch", queued, [], batch.ids) from error
        queued += batch.ids
        for body, parameters in batch.events:
            self._producer.publish(body, **parameters)


def represent(value: Any, longest: int, levels: int) -> str:
    """What Celery's ``saferepr`` gives, which is slow, found by a shorter way for plain arguments."""
    if type(value) is tuple:
        parts = list(map(_plain, value))
        text = f"({parts[0]},)" if len(parts) == 1 and parts[0] else f"({', '.join(parts)})"
    elif type(value) is dict:
        parts = [part for pair in value.items() for part in map(_plain, pair)]
        text = "{" + ", ".join(f"{key}: {one}" for key, one in zip(parts[::2], parts[1::2], strict=True)) + "}"
    else:
        parts, text = [""], ""
    return (
        text
        if all(parts) and longest and len(text) < longest and levels > 1
        else saferepr(value, longest, maxlevels=levels)
    )


def _plain(value: Any) -> str:
    """A string or a number as ``saferepr`` writes it; empty for what is neither."""
    if type(value) is str:
        return "'" + value.replace("'", "\\'") + "'"
    return str(value) if value is None or type(value) in (int, bool, float) else ""


def _is_plain(kind: Any) -> bool:
    """Whether a task has no code of its own that has a say in its messages."""
    return (
        type(kind).apply_async is celery.Task.apply_async
        and type(kind).shadow_name is celery.Task.shadow_name
        and kind._dump_pydantic_arguments is None
        and not kind.__v2_compat__
    )


@contextmanager
def _collecting(producer: Any, batch: _Batch) -> Iterator[None]:
    """Let *producer* hand what it publishes in this thread to *batch*, as it does inside its own ``batch()``."""
    local = producer._batch_local
    if getattr(local, "current", None) is not None:
        raise RuntimeError("enqueue_many() cannot be used inside producer.batch().")
    local.current = batch
    try:
        yield
    finally:
        del local.current
