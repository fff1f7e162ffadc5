# mypy: disallow-untyped-calls=False
"""Celery's scheduler of periodic tasks, each tick of which is queued once, whatever is killed."""

from __future__ import annotations

import copy
import logging
import uuid
from collections.abc import Callable
from typing import Any

import celery
from celery import beat
from kombu.exceptions import OperationalError
from kombu.utils.json import dumps

from headrace.celery.beat_store import BeatStore, Message, RunState
from headrace.process.valkey_server import VALKEY_TROUBLE

_log = logging.getLogger(__name__)


class Outlet:
    """A producer that gathers what is published, instead of queueing it."""

    def __init__(self, app: celery.Celery) -> None:
        self._connection = app.connection_for_write()
        self.trouble: tuple[type[Exception], ...] = (
            *VALKEY_TROUBLE,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            OperationalError,
        )
        self._messages: list[Message] = []
        self._channel = channel = self._connection.channel()
        channel._put = self._gather
        self.producer = app.amqp.Producer(channel, auto_declare=False)

    def _gather(self, queue: str, message: Any, **_: Any) -> None:
        channel = self._channel
        key = channel._q_for_pri(queue, channel._get_message_priority(message, reverse=False))
        self._messages.append(Message(channel.global_keyprefix + key, dumps(message).encode()))

    def gathered(self, publish: Callable[[], Any]) -> list[Message]:
        """What *publish* published."""
        self._messages = []
        publish()
        return self._messages

    def close(self) -> None:
        """Close its connection."""
        self._connection.release()


class Scheduler(beat.Scheduler):
    """The entries of the app's `beat_schedule`, with their last runs from Valkey.

    A tick is queued by the script that notes it.
    """

    def __init__(self, app: celery.Celery, store: BeatStore, on_sent: Callable[[str, bool], None]) -> None:
        """*on_sent* hears of each tick, and whether its task could be made. Raises what the brokers raise."""
        self._store = store
        self._on_sent = on_sent
        self._outlet = Outlet(app)
        super().__init__(app, schedule={})

    @property
    def producer(self) -> Any:
        """Celery hands it to :meth:`apply_entry`."""
        return self._outlet.producer

    def setup_schedule(self) -> None:
        """The app's entries, as they stood when any scheduler ran them last."""
        self.merge_inplace(self.app.conf.beat_schedule)
        self.install_default_entries(self.schedule)
        states = self._store.states(self.schedule, self.app.now())
        for name, entry in self.schedule.items():
            # In the app's own time zone: an offset of last winter would put a crontab of summer an hour off.
            entry.last_run_at = states[name].last_run_at.astimezone(self.app.timezone)
            entry.total_run_count = states[name].runs

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Queue the task of a tick.

        Raises LeaseLostError and what brokers raise; the scheduler is to be made anew then. A task that cannot be made
        is logged and its tick skipped, so that it holds up no other (P7).
        """
        following = self.schedule[entry.name]
        after = RunState(following.last_run_at, following.total_run_count)
        call = copy.copy(entry)
        # A second try would go through a new channel, past the outlet.
        call.options = {**entry.options, "task_id": self._task_id(entry), "retry": False}
        made = True
        messages: list[Message] = []
        try:
            messages = self._outlet.gathered(lambda: self.apply_async(call, producer=producer, advance=False))
        except beat.SchedulingError as error:
            cause = error.__cause__ or error.__context__
            if isinstance(cause, self._outlet.trouble):
                raise cause from error
            made = False
            _log.error("the periodic task %s is skipped this time: %s", entry.name, error)
        if not self._store.send(entry.name, after, messages):
            # the answer to our own script was lost, or somebody changed the states by hand
            raise ConnectionResetError(f"the periodic task {entry.name} was sent by somebody else")
        self._on_sent(entry.name, made)

    def _task_id(self, entry: Any) -> str:
        namespace = f"{self.app.conf.task_default_queue}|{entry.name}|{entry.last_run_at.isoformat()}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}|{entry.total_run_count}"))

    def close(self) -> None:
        """Close its connection."""
        self._outlet.close()
