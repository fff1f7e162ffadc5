"""The loop of a worker with a plain handler: take, run, settle."""

from __future__ import annotations

import logging
import time

import valkey
from valkey.exceptions import ResponseError, ValkeyError

from headrace.handlers.handler import Ended, Slots
from headrace.handlers.judgement import Fate, Judge, Judgement
from headrace.handlers.metrics import HandlerMetrics
from headrace.handlers.place import Place
from headrace.handlers.reading import UnreadableError
from headrace.handlers.reservations import Delivery, Reservations, Settled, Settling, Verdict
from headrace.process.failure import Failure, failure_of
from headrace.process.health import Health
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE

LOOP = "handler"
PROOF_SECONDS = 1.0
"""How often it is proved that Valkey would settle what is at work."""
TURN_SECONDS = 0.5
"""The longest wait; the stop is looked at so often."""
ORPHANS_SECONDS = 2.0
DUE_SECONDS = 1.0
"""How often it is looked whose lease or wait is over, however seldom for new messages."""
REFUSED_SECONDS = 1.0
"""How often a record is offered again that Valkey does not take."""

_log = logging.getLogger(__name__)


class Runner:
    """Takes as many messages as there are free slots, so a message that was taken is at work at once."""

    def __init__(
        self,
        place: Place,
        reservations: Reservations,
        slots: Slots,
        judge: Judge,
        health: Health,
        metrics: HandlerMetrics,
        stop: Stop,
        *,
        concurrency: int,
        batch_size: int,
    ) -> None:
        self._place = place
        self._reservations = reservations
        self._slots = slots
        self._judge = judge
        self._health = health
        self._tick = health.loop(LOOP)
        self._at_valkey = health.standing(LOOP, "valkey")
        self._records = health.standing(f"records of the {LOOP}", "valkey")
        self._records.rest()
        self._metrics = metrics
        self._stop = stop
        self._concurrency = concurrency
        self._batch_size = batch_size
        self._running: dict[str, Delivery] = {}
        self._judged: list[Judgement] = []
        self._refused: list[Judgement] = []
        """Whose records Valkey does not take."""
        self._barred = False
        """Whether Valkey would take no record."""
        self._offered = 0.0
        self._not_before = 0.0
        self._fresh_at = 0.0
        self._orphans_at = 0.0
        self._proved_at = 0.0
        self._backoff = Backoff()

    def held(self) -> list[str]:
        """The ids of all that is not settled; for the thread that renews the leases."""
        return [*list(self._running), *[judged.verdict.id for judged in [*self._judged, *self._refused]]]

    def run(self) -> None:
        """Work until the stop."""
        while not self._stop:
            self._turn(taking=True)
        self._metrics.consumers.set(0)

    def drain(self, seconds: float) -> None:
        """Let what runs end, for at most so long; what still runs then is handed back."""
        _log.info("stopping; running messages have %d s", seconds)
        deadline = time.monotonic() + seconds
        while (self._running or self._judged or self._refused) and time.monotonic() < deadline:
            self._turn(taking=False)
        self._hand_back()
        self._health.done(LOOP)
        self._records.rest()

    def _turn(self, *, taking: bool) -> None:
        self._tick()
        for ended in self._slots.ended(self._patience(taking)):
            self._judge_end(ended)
        try:
            self._settle()
            if taking and self._free() > 0 and time.monotonic() >= self._not_before:
                self._take()
                self._served()
            if time.monotonic() - self._proved_at > PROOF_SECONDS:
                self._prove()
                self._served()
        except VALKEY_TROUBLE as error:
            self._at_valkey.failed(error)
            time.sleep(self._backoff.next_seconds())
        except Exception:
            # P1: whatever it is, Valkey knows what we hold, and another try may succeed
            _log.exception("unexpected error; trying again")
            time.sleep(self._backoff.next_seconds())

    def _prove(self) -> None:
        """That what is at work could be settled, with its record."""
        problem = self._reservations.prove()
        self._proved_at = time.monotonic()
        self._barred = bool(problem)
        if self._refused:
            return
        if problem:
            self._records.failed(ResponseError(problem))
        else:
            self._records.rest()

    def _served(self) -> None:
        self._at_valkey.served()
        self._backoff.reset()

    def _patience(self, taking: bool) -> float:
        """How long to wait for a handler to end."""
        if self._judged or not (self._running or self._refused or taking):
            return 0.0
        if taking and self._free() > 0:
            return min(max(0.0, self._not_before - time.monotonic()), TURN_SECONDS)
        return TURN_SECONDS

    def _free(self) -> int:
        """How many more messages may be begun. What cannot be settled counts, or there would be ever more of it."""
        return self._concurrency - len(self._running) - len(self._refused)

    def _take(self) -> None:
        most = min(self._batch_size, self._free())
        now = time.monotonic()
        orphans = self._place.has_orphans and now >= self._orphans_at
        fresh = now >= self._fresh_at
        found, deleted = self._reservations.take(most, fresh=fresh, orphans=orphans)
        if orphans:
            self._orphans_at = now + ORPHANS_SECONDS
        self._health.register()
        self._metrics.consumers.set(1)
        if deleted:
            self._metrics.discarded.labels("Deleted").inc(deleted)
            _log.warning("%d entries that were to be handled again had been deleted from the stream", deleted)
        for delivery in found:
            self._begin(delivery)
        self._metrics.in_flight.set(len(self._running))
        more = len(found) == most
        if fresh:
            self._fresh_at = 0.0 if more else now + self._place.pause_seconds
        self._not_before = 0.0 if more else now + min(self._place.pause_seconds, DUE_SECONDS)

    def _begin(self, delivery: Delivery) -> None:
        self._metrics.received.inc()
        try:
            message = self._place.read(delivery)
        except UnreadableError as error:
            self._end(self._judge.unreadable(delivery, error))
            return
        lost = self._judge.lost(delivery, message)
        if lost is not None:
            self._end(lost)
            return
        self._running[delivery.id] = delivery
        self._slots.start(delivery, message)

    def _judge_end(self, ended: Ended) -> None:
        self._metrics.seconds.observe(ended.seconds)
        if ended.error is None:
            self._end(self._judge.succeeded(ended.delivery, ended.message, ended.value))
        else:
            self._end(self._judge.failed(ended.delivery, ended.message, ended.error))

    def _end(self, judged: Judgement) -> None:
        self._judged.append(judged)  # first, for the leases of both are renewed
        self._running.pop(judged.verdict.id, None)

    def _settle(self) -> None:
        judged = list(self._judged)
        due = time.monotonic() - self._offered > REFUSED_SECONDS
        again = self._refused if due else []
        if not judged and not again:
            return
        self._offered = time.monotonic() if due else self._offered
        every = [*again, *judged]
        settled, problem = self._reservations.settle([each.verdict for each in every])
        pairs = list(zip(every, settled, strict=True))
        refused = [each for each, came_to in pairs if came_to is Settled.REFUSED]
        self._refused = refused if due else [*self._refused, *refused]
        del self._judged[: len(judged)]  # last, for the leases of both are renewed
        self._metrics.in_flight.set(len(self._running))
        self._tell_refused(problem)
        for each, came_to in pairs:
            if came_to is not Settled.REFUSED:
                self._count(each, came_to is Settled.DONE)

    def _tell_refused(self, problem: str) -> None:
        if not self._refused:
            if not self._barred:
                self._records.rest()
            return
        self._metrics.refusals.inc()
        failure = failure_of(ResponseError(problem))
        self._records.failed(Failure(failure.reason, f"{len(self._refused)} records are not taken: {failure.text}"))

    def _count(self, judged: Judgement, was_ours: bool) -> None:
        metrics, identity = self._metrics, judged.verdict.id
        if not was_ours:
            metrics.leases_lost.inc()
            _log.warning("%s had been taken over by another pod; what was made of it here is dropped", identity)
        elif judged.fate is Fate.SUCCEEDED:
            metrics.succeeded.inc()
        elif judged.fate is Fate.RETRIED:
            metrics.retried.inc()
            _log.info("%s is tried again: %s", identity, judged.error)
        else:
            metrics.failed.labels(judged.exception).inc()
            metrics.dead_letters.labels(judged.reason).inc()
            _log.warning("%s failed for good: %s: %s", identity, judged.reason, judged.error)

    def _hand_back(self) -> None:
        """Let others begin what is not done. The newest goes first, so that the oldest is in front again."""
        verdicts = [Verdict(each, Settling.BACK) for each in reversed(self._running)]
        try:
            self._settle()
            if verdicts:
                _, problem = self._reservations.settle(verdicts)
                _log.info("%d messages were handed back %s", len(verdicts), f"({problem})" if problem else "")
        except VALKEY_TROUBLE as error:
            _log.warning("valkey is away (%s); what is not done is taken over when its leases end", error)


def leave(place: Place, client: valkey.Valkey) -> None:
    """Say goodbye; without Valkey others find out by themselves."""
    try:
        place.leave(client)
    except (ValkeyError, OSError) as error:
        _log.info("cannot say goodbye to valkey: %s", error)
