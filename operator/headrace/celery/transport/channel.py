# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
"""kombu's channel: takes messages in batches, holds them under a lease, settles them in batches."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from redis import exceptions

from headrace.celery.transport import letter, refusals, stock
from headrace.celery.transport.cluster import refuse_cluster
from headrace.celery.transport.keys import DEFAULT_PREFIX, Keys, parts_of, tag_of
from headrace.celery.transport.letter import Refusal
from headrace.celery.transport.message import NotAMessageError, marked, payload_of
from headrace.celery.transport.owner import NOTHING, Lists, Owner, Reservation, counts
from headrace.celery.transport.qos import MOST, QoS
from headrace.celery.transport.waiter import Waiter

BUDGET_SECONDS = 0.01
"""So long messages are delivered before the loop may look after other things."""
WAITERS = 16
"""Most connections of a channel that wait for messages; the lists beyond are looked at each second."""
WAIT_SECONDS = 5
POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Channel(kombu_redis.Channel):
    """Takes messages from Valkey's lists."""

    QoS = QoS  # type: ignore[assignment]
    key_prefix = DEFAULT_PREFIX
    lease_seconds = 6.0
    delivery_limit = 20
    dead_letter_key: str | None = None
    adopt_stock_unacked_seconds: float | None = None

    from_transport_options: tuple[str, ...] = (  # type: ignore[assignment]
        *kombu_redis.Channel.from_transport_options,
        "key_prefix",
        "lease_seconds",
        "delivery_limit",
        "dead_letter_key",
        "adopt_stock_unacked_seconds",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._owner: Owner | None = None
        self._ready: deque[Reservation] = deque()
        self._silent: set[str] = set()
        """Queues whose consumers acknowledge nothing."""
        self._orders: list[Lists] = []
        self._waiters: dict[str, Waiter] = {}
        self._empty = False
        self._polled = self._adopted = float("-inf")
        self._turns = 0
        self._not_before = 0.0
        self._name = f"channel {id(self)}"
        super().__init__(*args, **kwargs)
        self._write_letter = letter.writers.get(self.key_prefix) or letter.writer(self.dead_letter_key)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return {**parameters, "redis_connect_func": refuse_cluster}

    @property
    def unlimited_batch(self) -> int:
        """Messages of one reservation when there is no limit to those not acknowledged."""
        return MOST if self.connection.cycle.in_loop else 1

    # Taking messages.

    def turn(self, most: int | None = None) -> int:
        """Settle what is due and deliver what there is, for a short while; returns how many were delivered.

        *most*: messages to deliver; as many as there is time for when None. Raises what redis-py raises.
        """
        delivered, stop = 0, time.monotonic() + BUDGET_SECONDS
        while self._ready or self._fill():
            while self._ready:
                if delivered and (delivered == most or time.monotonic() > stop):
                    self.connection.cycle.kick()
                    return delivered
                delivered += self._deliver()
        return delivered

    def _fill(self) -> bool:
        """Take messages for the free credit; whether there are some. A Valkey that refuses is asked again later."""
        if time.monotonic() < self._not_before:
            return False
        try:
            found = self._take()
        except exceptions.ResponseError as error:
            self._not_before = time.monotonic() + POLL_SECONDS
            refusals.note(self._name, refusals.LISTS, str(error))
            return False
        refusals.note(self._name, refusals.LISTS, "")
        return found

    def _take(self) -> bool:
        owner = self._owner
        if not self._orders:
            if owner is not None and owner.pending:
                owner.reserve(NOTHING, 0)
            return False
        if owner is None or owner.lapsed:
            owner = self._own()
        credit = self.qos.credit()
        now = time.monotonic()
        if self._empty and now - self._polled > POLL_SECONDS and not self._has_waiters():
            self._empty = False
        if (credit <= 0 or self._empty) and not owner.pending:
            return False
        self._polled = now
        self._turns += 1
        found = owner.reserve(self._orders[self._turns % len(self._orders)] if credit > 0 else NOTHING, credit)
        self._ready.extend(found)
        if credit > 0:
            self._empty = len(found) < credit
            if self._empty:
                self._wait()
        return bool(found)

    def _has_waiters(self) -> bool:
        """Whether somebody waits at each list."""
        return len(self._orders[0].keys) <= WAITERS and not any(waiter.refused for waiter in self._waiters.values())

    def _own(self) -> Owner:
        self._ready.clear()  # of an owner that lapsed: others have them now
        prefix = self.global_keyprefix + self.key_prefix
        owner = self._owner = Owner(Keys(prefix), self._get_pool, self.lease_seconds, self._settled)
        self._empty = False
        return owner

    def _settled(self) -> None:
        if self.connection is not None:
            self.connection.cycle.wake()

    def _wait(self) -> None:
        """Have the waiters look out for the lists."""
        for waiter in self._waiters.values():
            if not waiter.waiting:
                self.connection.cycle.listen(self, waiter)

    def woken(self, waiter: Waiter) -> None:
        """A waiter has its answer."""
        if waiter.read():
            self._empty = False
        elif self._empty:
            waiter.wait()
        refusals.note(self._name, refusals.WAITING, waiter.refused)

    def drop_overdue_waiters(self) -> None:
        """Give up connections that do not answer any more; raises what redis-py raises when one cannot be made anew."""
        for waiter in self._waiters.values():
            if waiter.overdue(self.health_check_interval or 25):
                waiter.close()
                self._empty = False

    def _deliver(self) -> int:
        owner = self._owner
        assert owner is not None
        if not owner.valid():
            self._ready.clear()
            return 0
        one = self._ready.popleft()
        payload = self._payload(owner, one)
        if payload is None:
            return 0
        if one.queue not in self.connection._callbacks:
            owner.give_back([one.number])
            return 0
        if one.queue in self._silent:
            owner.ack(one.number)
        self.connection._deliver(payload, one.queue)
        return 1

    def _payload(self, owner: Owner, one: Reservation) -> dict[str, Any] | None:
        """The message for kombu; None when it became a dead letter."""
        if self.delivery_limit and one.deliveries > self.delivery_limit:
            error = f"the message was handed out {one.deliveries} times in vain."
            self.bury(owner, one.number, Refusal(one.queue, one.raw, "DeliveryLimit", error, one.deliveries))
            return None
        try:
            return marked(payload_of(one.raw), tag_of(owner.identity, one.number), one.deliveries)
        except NotAMessageError as problem:
            error = f"the entry of {one.queue} is not a Celery message: {problem}."
            self.bury(owner, one.number, Refusal(one.queue, one.raw, "InvalidRecord", error, 1))
            return None

    def bury(self, owner: Owner, number: int, refusal: Refusal) -> None:
        """Replace a message by its dead letter."""
        counts.dead_letters[refusal.reason] = counts.dead_letters.get(refusal.reason, 0) + 1
        _log.warning("a message of %s is given up: %s: %s", refusal.queue, refusal.reason, refusal.error)
        owner.bury(number, self._write_letter(refusal))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """One message, for ``basic_get``."""
        owner = self._own() if self._owner is None or self._owner.lapsed else self._owner
        while found := owner.reserve(self._lists([queue], share=False), 1):
            payload = self._payload(owner, found[0])
            if payload is not None:
                return payload
        raise Empty

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """One message, or None."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            self.qos.ack(message.delivery_tag)
        return message

    # Consumers.

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> Any:
        """Consume from *queue*."""
        found = super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        (self._silent.add if no_ack else self._silent.discard)(queue)
        self._adopt()
        return found

    def _update_queue_cycle(self) -> None:
        """The queues have changed."""
        super()._update_queue_cycle()
        names = self.active_queues
        share = self.queue_order_strategy == "round_robin"
        if self.queue_order_strategy == "sorted":
            names.sort()
        turns = range(len(names) if share else min(len(names), 1))
        self._orders = [self._lists(names[place:] + names[:place], share) for place in turns]
        self._return_foreign(set(names))
        self._set_waiters(self._orders[0].keys[:WAITERS] if names else ())
        self._empty = False

    def _lists(self, names: list[str], share: bool) -> Lists:
        pairs = [(self._q_for_pri(name, step), name) for step in self.priority_steps for name in names]
        keys = tuple(self.global_keyprefix + key for key, _ in pairs)
        return Lists(keys, tuple(name for _, name in pairs), len(names), share and len(names) > 1)

    def _return_foreign(self, names: set[str]) -> None:
        """Give back what was taken for queues that nobody consumes any more."""
        foreign = [one for one in self._ready if one.queue not in names]
        if foreign and self._owner is not None:
            self._ready = deque(one for one in self._ready if one.queue in names)
            self._owner.give_back(one.number for one in foreign)

    def _set_waiters(self, keys: tuple[str, ...]) -> None:
        for key in [key for key in self._waiters if key not in keys]:
            self._waiters.pop(key).close()
        for key in keys:
            if key not in self._waiters:
                self._waiters[key] = Waiter(self.async_pool, key, WAIT_SECONDS)

    def _adopt(self) -> None:
        """Take over what workers with kombu's own transport left, once a minute."""
        now = time.monotonic()
        if now - self._adopted > 60 and self.active_queues:
            self._adopted = now
            seconds = self.adopt_stock_unacked_seconds
            problem = stock.adopt(self, self.visibility_timeout if seconds is None else seconds)
            refusals.note(self._name, refusals.STOCK, problem)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """The message is done; with *multiple* all before it are, too."""
        if multiple:
            self.qos.ack_up_to(delivery_tag)
        else:
            self.qos.ack(delivery_tag)

    def give_back(self, delivery_tag: str) -> None:
        """The message goes to the front of its queue as if it had never been taken."""
        self.qos.give_back(delivery_tag)

    def maybe_refresh_binding_expiry(self) -> None:
        """kombu's chance each second to keep bindings; ours to take over leftovers."""
        super().maybe_refresh_binding_expiry()
        self._adopt()

    # The end.

    def release(self) -> None:
        """Give back what is not acknowledged, except what Celery is at work on when only the connection broke."""
        owner, self._owner = self._owner, None
        self._ready.clear()
        if owner is not None:
            owner.close(_at_work(owner.identity))

    def close(self) -> None:
        """Close the channel."""
        for waiter in self._waiters.values():
            waiter.close()
        self._waiters.clear()
        refusals.forget(self._name)
        try:
            super().close()
        finally:  # it may fail while Valkey is away
            self.release()

    def _get_pool(self, asynchronous: bool = False) -> Any:
        pool = super()._get_pool(asynchronous=asynchronous)
        if asynchronous:
            pool.max_connections += WAITERS
        return pool


def _at_work(identity: str) -> list[int]:
    """Messages whose tasks run in this Celery worker; none when it stops, for they are to run elsewhere."""
    state: Any = sys.modules.get("celery.worker.state")
    if state is None or state.should_stop is not None or state.should_terminate is not None:
        return []
    found = []
    for request in tuple(state.active_requests):
        message = getattr(request, "message", None)
        parts = parts_of(message.delivery_tag) if message is not None else None
        if parts is not None and parts[0] == identity and not request.acknowledged:
            found.append(parts[1])
    return found
