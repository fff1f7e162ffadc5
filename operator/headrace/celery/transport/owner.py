"""Who holds messages: a consuming channel, as Valkey knows it.

An owner has a lease that a thread of its own renews, so that a task may keep the loop busy for as long as it likes.
When the lease ran out, its messages are given to others, and nothing that it says about them counts any more.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis import exceptions

from headrace.celery.transport import refusals
from headrace.celery.transport.keys import Keys, Push
from headrace.celery.transport.link import KEEP, RELEASE, RESERVE, Link
from headrace.celery.transport.settlement import Kind, Settlement, Settlements, arguments
from headrace.process.logs import Seldom

ACK_SECONDS = 0.01
"""So long an acknowledgement waits for a reservation to ride with; twice as long at most."""
RETRY_SECONDS = 0.3
"""Between two tries to renew the lease."""
GRACE_MILLIS = 3_000
"""After nobody looked for a while, owners whose lease ran out meanwhile have so long to renew it."""
REMEMBER_SECONDS = 604_800
"""How long a delivery is counted after the last one."""

TROUBLE = (exceptions.RedisError, OSError)

_log = logging.getLogger(__name__)
_seldom = Seldom()


@dataclass
class Counts:
    """What the transport did in this process."""

    restored: int = 0
    """Messages of owners that were gone, given back to their queues."""
    fenced: int = 0
    """Acknowledgements that came too late: the message had been given to others."""
    lapses: int = 0
    """Leases of this process that ran out."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Dead letters that the transport wrote, by reason."""


counts = Counts()


class Reservation(NamedTuple):
    """A message that an owner holds."""

    number: int
    queue: str
    deliveries: int
    """How often it was handed out in vain before."""
    raw: bytes


@dataclass(frozen=True)
class Lists:
    """The lists to take from."""

    keys: tuple[str, ...]
    """Step by step, each step's queues in their order."""
    queues: tuple[str, ...]
    """The queue of each key."""
    width: int
    """Queues of a step."""
    share: bool
    """Whether the queues of a step get a share each; else the first comes first."""


NOTHING = Lists((), (), 1, False)


class Owner:
    """Holds messages for one channel. Any thread may settle, one reserves.

    *on_settled*, a method, is called for each message that is settled; when its object is gone, the owner closes.
    """

    def __init__(
        self, keys: Keys, pool: Callable[[], Any], lease_seconds: float, on_settled: Callable[[], None]
    ) -> None:
        self.identity = secrets.token_hex(8)
        self.keys = keys
        self.held: dict[int, Reservation] = {}
        self.lapsed = False
        self._lease_millis = int(lease_seconds * 1000)
        self._period = lease_seconds / 3
        timeout = max(lease_seconds / 2, 1.0)  # so that one that hangs leaves time to renew the lease
        self._link, self._keeping = Link(pool(), timeout), Link(pool(), timeout)
        # Weak: the thread below must not keep a channel alive that nobody closed.
        self._on_settled = weakref.WeakMethod(on_settled)
        self._heads = [keys.owners, keys.unacked(self.identity), keys.staged(self.identity), keys.deliveries]
        self._number = 1
        self._pid = os.getpid()
        self._settlements = Settlements()
        self._refused = Settlements()
        """Those that Valkey does not take now; they are offered again when the lease is renewed."""
        self._stages: dict[int, Push] = {}
        self._applied = 0
        self._armed = self._doubtful = self._closing = self._ended = False
        self._event = threading.Event()
        self._lock = threading.RLock()
        self._renewed = 0.0
        self._keep(self._link, new=True)
        _owners[self.identity] = self
        threading.Thread(target=self._run, name="headrace-lease", daemon=True).start()

    @property
    def pending(self) -> bool:
        """Whether something is settled here that Valkey does not know yet."""
        return bool(self._settlements)

    def ack(self, number: int) -> None:
        """The message is done."""
        self._settle(Settlement(Kind.DONE, number, self._stages.pop(number, None)))

    def bury(self, number: int, letter: Push | None) -> None:
        """The message is done with and leaves *letter*, or the record that was staged for it."""
        self._settle(Settlement(Kind.DONE, number, self._stages.pop(number, letter)))

    def requeue(self, number: int) -> None:
        """The message goes to the back of its queue, and that counts as a delivery."""
        self._stages.pop(number, None)
        self._settle(Settlement(Kind.BACK, number))

    def give_back(self, numbers: Iterable[int]) -> None:
        """The messages go to the front of their queues as if they had never been taken."""
        for number in sorted(numbers, reverse=True):
            self._settle(Settlement(Kind.RETURNED, number))

    def stage(self, number: int, push: Push) -> None:
        """Push a record with the acknowledgement of the message, if that still counts."""
        self._stages[number] = push

    def has_staged(self, number: int) -> bool:
        """Whether the acknowledgement of the message pushes a record."""
        return number in self._stages

    def tell(self) -> None:
        """Tell Valkey at once what is settled; raises nothing."""
        self._try(self._tell)

    def _settle(self, settlement: Settlement) -> None:
        if self.lapsed or settlement.number not in self.held:
            self.held.pop(settlement.number, None)
            counts.fenced += 1
            return
        self._settlements.add(settlement)  # before it leaves `held`: one of the two always has it
        self.held.pop(settlement.number, None)
        if not self._armed:
            self._armed = True
            self._event.set()
        if (tell := self._on_settled()) is not None:
            tell()

    def valid(self) -> bool:
        """Whether what is held is still this owner's; asks Valkey when this process stood still for long."""
        if time.monotonic() - self._renewed > self._period * 2.5:
            try:
                self._keep(self._link)
            except exceptions.ResponseError as error:  # it does not say, so nothing may be begun
                raise exceptions.ConnectionError(f"Valkey does not renew a lease: {error}") from error
        return not self.lapsed

    def reserve(self, lists: Lists, most: int) -> list[Reservation]:
        """Tell Valkey what is settled and take up to *most* messages; none when the owner has lapsed.

        Raises what redis-py raises; nothing is lost then.
        """
        with self._lock:
            if self._doubtful:
                self._release()
            if not self.valid():
                return []
            first = self._number
            self._number += most
            try:
                found = self._apply(self._link, lists, most, first)
            except BaseException:
                self._doubtful = True  # messages may have been taken that nobody here knows of
                raise
            queues, reservations = lists.queues, []
            for place in range(0, len(found), 3):
                one = Reservation(first, queues[found[place] - 5], found[place + 1], found[place + 2])
                self.held[first] = one
                reservations.append(one)
                first += 1
            return reservations

    def _apply(self, link: Link, lists: Lists, most: int, first: int) -> list[Any]:
        taken = self._settlements.take()
        fixed = [self.identity, self._lease_millis, most, first, lists.width, int(lists.share), REMEMBER_SECONDS]
        try:
            found: list[Any] = link.call(RESERVE, [*self._heads, *lists.keys], fixed + arguments(taken))
        except BaseException:
            self._settlements.put_back(taken)
            raise
        self._applied += 1
        lost, *rest = found
        if lost < 0:
            self._lapse(len(taken) + len(self._refused.take()))
            return []
        counts.fenced += lost
        unsettled, why, *messages = rest
        numbers = set(map(int, unsettled))
        for one in taken:
            if one.number in numbers:
                self._refused.add(one)
        if numbers or not self._refused:
            self._note(refusals.RECORDS, why if numbers else b"")
        if lists is not NOTHING:
            self._note(refusals.LISTS, b"" if numbers else why)
        return messages

    def _note(self, what: str, why: bytes) -> None:
        refusals.note(self.identity, what, why)

    def _offer_again(self) -> None:
        """Tell Valkey once more what it did not take."""
        if self._refused and self._lock.acquire(blocking=False):
            try:
                self._settlements.put_back(self._refused.take())
            finally:
                self._lock.release()
            self._armed = True
            self._event.set()

    def _release(self) -> None:
        """Give back what is neither held nor settled: nobody here knows of it. A closed owner that has nothing ends."""
        keep = {*self.held, *self._settlements.numbers(), *self._refused.numbers()}
        last = self._closing and not keep
        _, stuck, why = self._link.call(RELEASE, self._heads[:3], [self.identity, int(last), *keep])
        self._note(refusals.UNKNOWN, why)
        self._doubtful = stuck > 0
        if last and not stuck:
            self._ended = True
            _owners.pop(self.identity, None)

    def _lapse(self, fenced: int) -> None:
        if not self.lapsed:
            self.lapsed = True
            counts.lapses += 1
            _log.warning("the lease of %s ran out; its %d messages were given to others", self.identity, len(self.held))
        counts.fenced += fenced

    def _keep(self, link: Link, *, new: bool = False) -> None:
        heads = [self.keys.owners, self.keys.deliveries, self.keys.looked]
        fixed = [self.identity, self._lease_millis, int(new), self.keys.unacked_of, self.keys.staged_of]
        restored, *rest = link.call(KEEP, heads, [*fixed, GRACE_MILLIS, REMEMBER_SECONDS])
        if restored < 0:
            self._lapse(len(self._refused.take()))
            return
        self._note(refusals.ORPHANS, rest[1])
        self._renewed = time.monotonic()
        if restored:
            counts.restored += restored
            _log.warning("%d messages of workers that are gone were given back to their queues", restored)

    def _run(self) -> None:
        """Renew the lease, and tell Valkey what the loop is too busy for."""
        due = time.monotonic() + self._period
        while not self._ended and not self.lapsed:
            if self._event.wait(max(due - time.monotonic(), 0.0)):
                self._event.clear()
                self._tell_when_late()
            if not self._closing and self._on_settled() is None:
                self.close()
            if self._closing and not self._settlements and (self._doubtful or not self.held):
                self._try(self._finish)
            if time.monotonic() >= due or time.monotonic() - self._renewed > self._period:
                if self._try(lambda: self._keep(self._keeping)):
                    due = time.monotonic() + self._period
                    self._offer_again()
                else:
                    time.sleep(RETRY_SECONDS)
        self._keeping.close()
        refusals.forget(self.identity)
        _owners.pop(self.identity, None)

    def _tell_when_late(self) -> None:
        """Tell Valkey what is settled when the loop does not; comes back when the lease is to be renewed."""
        while self._settlements and time.monotonic() - self._renewed < self._period:
            before = self._applied
            time.sleep(ACK_SECONDS)
            if self._applied == before and not self._try(self._tell):
                time.sleep(RETRY_SECONDS)
                break
        self._armed = False
        if self._settlements:  # there is more, or it came while we disarmed
            self._armed = True
            self._event.set()

    def _tell(self) -> None:
        with self._lock:
            if self._settlements and not self._ended:
                self._apply(self._keeping, NOTHING, 0, 0)

    def _finish(self) -> None:
        with self._lock:
            self._release()

    def _try(self, call: Callable[[], Any]) -> bool:
        try:
            call()
        except TROUBLE as error:
            if not self._ended and _seldom(str(error)):
                _log.warning("valkey does not hear from a worker (%s: %s)", type(error).__name__, error)
            return False
        return True

    def close(self, keep: Iterable[int] = ()) -> None:
        """Give back what is held except *keep*, whose acknowledgements still count; raises nothing.

        A thread goes on until all is settled. When the process ends before, the lease runs out.
        """
        if self._pid != os.getpid() or self._ended:
            return
        with self._lock:
            self._closing = True
            self._link.close()  # the answer to an interrupted command may still be on its way
            kept = {number for number in keep if number in self.held}
            for number in [number for number in self.held if number not in kept]:
                del self.held[number]
            self._doubtful = True
            if not self.lapsed and self._try(self._tell):
                self._try(self._finish)
            self._link.close()
            self._event.set()


_owners: dict[str, Owner] = {}
"""The owners of this very process that still hold something."""


def owner_named(identity: str) -> Owner | None:
    """The owner of this process with that name, while it holds something."""
    return _owners.get(identity)


def stage(tag: str, push: Push) -> bool:
    """Push a record with the acknowledgement of the message *tag*; False when its owner is not in this process."""
    identity, _, number = tag.rpartition(":")
    owner = owner_named(identity)
    if owner is None or owner.lapsed:
        return False
    owner.stage(int(number), push)
    return True


def tell_all() -> None:
    """Tell Valkey at once all that is settled in this process."""
    for owner in list(_owners.values()):
        owner.tell()


def _forget() -> None:
    """A child process owns nothing of its parent's."""
    _owners.clear()


def _close_all() -> None:
    for owner in list(_owners.values()):
        owner.close()


os.register_at_fork(after_in_child=_forget)
atexit.register(_close_all)
