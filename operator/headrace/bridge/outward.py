"""Valkey -> Pulsar: cut, send, commit. Each entry of the list is published once, through any crash."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from headrace.bridge.breaker import State
from headrace.bridge.circuit import PROBE_MESSAGES, Circuit
from headrace.bridge.cut import CUTS_IN_FLIGHT, Cut, CutStore
from headrace.bridge.durability import Settlement
from headrace.bridge.frame import Frame, Way, frames, without
from headrace.bridge.identity import Identity
from headrace.bridge.landing import Landings
from headrace.bridge.layouts import Layouts
from headrace.bridge.lease import Lease
from headrace.bridge.line_standing import LineStanding
from headrace.bridge.lines import Line
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.patience import Patience
from headrace.bridge.proof import Proof
from headrace.bridge.publisher import Publisher, PublishError, Transmission
from headrace.bridge.pulsar_library import Client, PulsarError, TopicNotFoundError
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.routing import Routing, Target
from headrace.bridge.scripts import FencedError
from headrace.bridge.shares import Share
from headrace.bridge.source import open_source
from headrace.process.health import Health
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

STANDBY_SECONDS = 1.0
SAMPLE_SECONDS = 5.0
SETTLE_SECONDS = 0.01
"""How often it is looked whether a cut is durable."""
DRAIN_SECONDS = 20.0
"""How long a stop waits for a cut that Pulsar has not confirmed yet; it is replayed by whoever comes next."""

GIVEN_AWAY = "giving it to another"
"""Ends the work at a line whose lease is to be another's."""

PULSAR_TROUBLE: tuple[type[Exception], ...] = (PublishError, PulsarError)

_log = logging.getLogger(__name__)


class OutOfStepError(Exception):
    """A cut is in flight of which this replica had no answer."""


class StoppedError(Exception):
    """The process stops and the cut in flight took too long."""


@dataclass(frozen=True)
class _Flight:
    """A cut on its way to Pulsar."""

    cut: Cut
    frames: list[Frame]
    missing: list[Frame]
    """Those of *frames* that Pulsar is not known to have."""
    transmission: Transmission
    began: float
    """By the monotonic clock."""


class Outward:
    """The loop of one line. Runs in a thread of its own, with its own Valkey connection."""

    def __init__(
        self,
        line: Line,
        server: ValkeyServer,
        pulsar_client: Client,
        health: Health,
        metrics: BridgeMetrics,
        stop: Stop,
        identity: Identity,
        layouts: Layouts,
        proof: Proof,
        share: Share | None = None,
        bucket: TokenBucket | None = None,
        circuit: Circuit | None = None,
        raw: RawTopics | None = None,
    ) -> None:
        """*raw*: for letters, see :class:`Publisher`."""
        self._line = line
        self._identity = identity
        self._share = share or Share()
        self._valkey = server.client()
        self._lease = Lease(self._valkey, line.prefix)
        source = open_source(self._valkey, line.source, line.prefix, self._lease)
        unlimited = TokenBucket(None, line.prefix, metrics)
        self._store = CutStore(
            self._valkey, source, line.prefix, self._lease, line.batching, bucket or unlimited, line.announce or ""
        )
        self._name = source.key
        self._pulsar = pulsar_client
        self._settlement: Settlement[Cut] = Settlement(
            self._valkey,
            line.prefix,
            line.delivery,
            lambda durability: metrics.durability_unmet.labels(durability=durability.value).inc(),
        )
        self._layouts = layouts
        self._publisher = Publisher(pulsar_client, line.compression, raw)
        self._landings = Landings(pulsar_client, self._publisher, layouts, self._while_publishing)
        self._health = health
        self._tick = health.loop(self._name)
        self._stands = LineStanding(self._name, line, health, proof)
        self._metrics = metrics
        unguarded = Circuit(None, line.sink_topic, self._valkey, line.prefix, metrics, stop, shared=True)
        self._circuit = circuit or unguarded
        self._stop = stop
        self._backoff = Backoff()
        self._patience = Patience()
        self._floor = 0
        self._too_large: set[int] = set()
        self._hidden = False
        """Whether Pulsar knows higher ids than those of what is in flight."""
        self._sampled = 0.0
        self._waiting = self._counted = 0
        self._stop_seen: float | None = None

    @property
    def lease(self) -> Lease:
        """The right to move this line."""
        return self._lease

    def run(self) -> None:
        """Move messages until the stop; every failure of a broker ends in another try."""
        while not self._stop:
            try:
                if self._circuit.hold(self._while_open) and self._stand_by():
                    self._work()
            except FencedError as error:
                _log.warning("%s: %s; standing by", self._name, error)
            except StoppedError:
                break
            except OutOfStepError:
                _log.info("%s: another cut is in flight than we know of; reading them again", self._name)
            except VALKEY_TROUBLE as error:
                self._stands.valkey.failed(error)
                self._stop.wait(self._backoff.next_seconds())
            except PULSAR_TROUBLE as error:
                self._pulsar_failed(error)
            except Exception:
                # P1: whatever it is, the cut in flight is safe in Valkey and another try may succeed
                _log.exception("%s: unexpected error; trying again", self._name)
                self._stop.wait(self._backoff.next_seconds())
            finally:
                self._publisher.close()
                self._settlement.clear()
                self._layouts.watch(self, ())
                self._share.left()
                self._in_flight(())
        self._release()

    @property
    def cut_off(self) -> bool:
        """Whether Pulsar does not take what this line has."""
        return self._stands.pulsar.problem() is not None

    def waiting(self) -> int:
        """Messages that wait or are in flight."""
        return self._store.waiting()

    def _stand_by(self) -> bool:
        """Wait for the lease; False when the stop came first, or the circuit opened."""
        said = False
        while not self._stop:
            self._tick()
            if self._circuit.look() is State.OPEN:
                return False
            mine = self._identity.ours() and self._share.claim()
            if mine and self._lease.acquire():
                return True
            if mine:
                self._share.left()
            if not said:
                _log.info("%s: another works, standing by", self._name)
                said = True
            self._valkey.ping()
            self._stands.stood_by()
            self._sample()
            self._stop.wait(STANDBY_SECONDS)
        return False

    def _work(self) -> None:
        routing = self._open()
        self._patience.begin()
        flying: deque[_Flight] = deque()
        while not (ending := self._ending()):
            self._tick()
            more = not flying or (len(flying) < CUTS_IN_FLIGHT and flying[-1].cut.fills(self._line.batching))
            if more and self._take(routing, flying):
                continue
            if flying:
                self._arrive(flying.popleft())
                self._in_flight(flying)
                if not any(flight.cut.pending for flight in flying):
                    self._publisher.keep_only(routing.producer)  # replays of an earlier installation's are done
            else:
                self._idle()
            self._sample()
        while flying:
            self._arrive(flying.popleft())
        _log.info("%s: %s", self._name, ending)
        if ending == GIVEN_AWAY:
            self._publisher.close()  # first, for the broker admits one producer of a name
            self._lease.release()

    def _ending(self) -> str:
        """Why no more is to be cut; empty when more is."""
        if self._stop:
            return "stopping"
        if not self._identity.ours() or self._share.surplus():
            return GIVEN_AWAY
        changed = self._layouts.changed(self)
        return changed and f"{changed}; keys may go to other partitions from now on"

    def _take(self, routing: Routing, flying: deque[_Flight]) -> bool:
        """Take what is in flight, or the next cut, and begin to send it; whether one more should be taken at once."""
        cuts = self._store.next(routing, self._floor, self._most(), flying[-1].cut if flying else None)
        self._stands.valkey.served()
        if cuts and cuts[0].pending:
            if flying:
                raise OutOfStepError
            cuts = self._rerouted(cuts, routing)
        self._settle(cuts)
        flying.extend(self._depart(cuts))
        self._in_flight(flying)
        return bool(cuts) and cuts[-1].fills(self._line.batching) and len(flying) < CUTS_IN_FLIGHT

    def _most(self) -> int:
        """Most messages in a new cut."""
        most = self._line.batching.max_messages
        return min(PROBE_MESSAGES, most) if self._circuit.probing else most

    def _idle(self) -> None:
        if self._stands.proves_pulsar(connected=self._connected()):
            self._backoff.reset()
            self._circuit.succeeded()
        self._settlement.prove()
        self._stands.announced(self._store.why_silent())
        self._store.wait(1)

    def _connected(self) -> bool:
        """Whether every producer has its broker; raises :class:`PublishError` when one has had none for too long."""
        connected = self._publisher.connected()
        if why := self._patience.unconnected(connected):
            raise PublishError(why)
        return connected

    def _open(self) -> Routing:
        line = self._line
        sink = self._layouts.target(line.sink_topic)
        dead_letter = self._dead_letter_target()
        routing = line.routing(sink, dead_letter or Target(line.dead_letter_topic, 0), self._identity.name())
        # A line of dead letters has no other messages, so no producer for them.
        if line.sink_topic != line.dead_letter_topic:
            self._open_producers(sink, Way.BATCHED, routing.producer)
            if line.chunking:
                self._open_producers(sink, Way.CHUNKED, routing.producer)
        if dead_letter:
            self._open_producers(dead_letter, Way.DEAD_LETTERS, routing.producer)
        self._layouts.watch(self, (sink, routing.dead_letter))
        _log.info("%s: moving to %s", self._name, line.sink_topic)
        return routing

    def _dead_letter_target(self) -> Target | None:
        """Where dead letters go; None when there is no such topic, which hinders other messages no more than it must:
        it is opened when the first letter wants to go there."""
        topic = self._line.dead_letter_topic
        try:
            target = self._layouts.target(topic)
        except TopicNotFoundError as error:
            if not self._line.main:
                raise
            self._stands.letters(error)
            return None
        self._stands.letters(None)
        return target

    def _open_producers(self, target: Target, way: Way, name: str) -> None:
        for partition in range(max(target.partitions, 1)):
            known = self._publisher.open(target.partition_topic(partition), way, name)
            self._floor = max(self._floor, known)

    def _settle(self, cuts: list[Cut]) -> None:
        """Wait until *cuts* are where `delivery.durability` wants them. A Valkey that forgets a cut gives its entries
        once more, under other ids."""
        for cut in cuts:
            self._settlement.push(cut)
        self._settlement.settled()
        told = began = time.monotonic()
        while self._settlement:
            time.sleep(SETTLE_SECONDS)
            if time.monotonic() - told > 1.0:
                told = time.monotonic()
                self._while_settling(told - began)
            self._settlement.settled()

    def _while_settling(self, seconds: float) -> None:
        """Called each second while what was cut is not durable yet."""
        self._keep()
        self._stands.proves_pulsar(connected=self._connected())
        self._stands.awaits_durability(seconds)

    def _depart(self, cuts: list[Cut]) -> list[_Flight]:
        """Begin to send *cuts*. What is missing of them is asked of Pulsar before anything is sent."""
        flights = []
        for cut in cuts:
            parts = frames(cut, self._too_large)
            missing = without(parts, cut.landed)
            if cut.pending:
                missing = self._landings.missing(cut, missing)
                text = "%s: replaying the cut of %d messages from id %d: %d of %d frames"
                _log.info(text, self._name, len(cut.entries), cut.first, len(missing), len(parts))
            flights.append((cut, parts, missing))
        return [
            _Flight(cut, parts, missing, self._publisher.publish(missing), time.monotonic())
            for cut, parts, missing in flights
        ]

    def _rerouted(self, cuts: list[Cut], routing: Routing) -> list[Cut]:
        """What is in flight, under other topics and ids when it cannot go as it was to go."""
        if not (self._hidden or self._landings.are_stranded(cuts, routing)):
            return cuts
        routes = [self._landings.rerouted(cut, routing) for cut in cuts]
        text = "%s: the cut of %d messages from id %d gets another route and other ids, less %d that Pulsar has"
        for cut, route in zip(cuts, routes, strict=True):
            _log.warning(text, self._name, len(cut.entries), cut.first, len(route.landed))
        rerouted = self._store.reroute(cuts, routes, self._floor)
        if not rerouted:
            raise OutOfStepError
        self._hidden = False
        self._too_large.clear()
        return rerouted

    def _arrive(self, flight: _Flight) -> None:
        """Wait until Pulsar has the oldest cut, and forget it."""
        self._patience.begin()
        try:
            flight.transmission.wait(partial(self._while_sending, flight.transmission))
        except PublishError as error:
            self._count(flight.missing, "failure")
            if error.too_large is not None:
                self._too_large.add(error.too_large)
            self._hidden = self._hidden or error.hidden
            raise
        self._floor = max(self._floor, flight.cut.last)
        self._commit(flight)
        self._too_large.clear()
        self._backoff.reset()
        self._patience.succeeded()
        self._circuit.succeeded()
        self._stands.pulsar.served()
        self._count(flight.frames, "success")
        self._metrics.seconds.observe(time.monotonic() - flight.began)

    def _commit(self, flight: _Flight) -> None:
        """Forget a cut that Pulsar has. Who may not announce it must not hold it up, but says so."""
        unheard, refusal = self._store.commit(flight.cut, self._announced(flight))
        self._metrics.unheard.inc(unheard)
        self._stands.announced(refusal)

    def _announced(self, flight: _Flight) -> list[bytes]:
        """What the line's channel gets, in the order of the source."""
        if self._line.announce is None:
            return []
        pairs = (pair for frame in flight.frames if not frame.dead for pair in frame.messages)
        return [message.payload for _, message in sorted(pairs, key=itemgetter(0))]

    def _while_sending(self, transmission: Transmission) -> None:
        """Called each second while Pulsar confirms nothing of *transmission*."""
        self._while_publishing()
        if why := self._patience.ended(self._publisher.connected(), transmission.confirmed):
            raise PublishError(why)

    def _while_publishing(self) -> None:
        """Called each second while Pulsar takes its time."""
        connected = self._connected()
        self._stands.awaits_pulsar(connected=connected)
        if not connected and self._circuit.failed(lost := PublishError("no connection")):
            raise lost
        self._keep()
        self._stands.valkey.served()

    def _keep(self) -> None:
        """Keep the lease while a cut is in flight; when the stop came, not for long."""
        self._tick()
        if self._stop:
            self._stop_seen = self._stop_seen or time.monotonic()
            if time.monotonic() - self._stop_seen > DRAIN_SECONDS:
                raise StoppedError
        self._lease.renew()
        self._sample()

    def _while_open(self) -> None:
        """Called each second while the circuit lets nothing through."""
        self._tick()
        self._sample()

    def _pulsar_failed(self, error: Exception) -> None:
        if isinstance(error, PublishError) and error.too_large is not None:
            _log.warning("%s: %s; it becomes a dead letter", self._name, error)
        else:
            self._stands.pulsar_failed(error)
            if self._circuit.failed(error):
                return
        self._stop.wait(self._backoff.next_seconds())

    def _release(self) -> None:
        self._lease.leave()
        self._health.done(self._name)

    def _in_flight(self, flying: Iterable[_Flight]) -> None:
        if self._line.main:
            before, self._counted = self._counted, sum(len(flight.cut.entries) for flight in flying)
            self._metrics.in_flight.inc(self._counted - before)

    def _sample(self) -> None:
        if self._line.main and time.monotonic() - self._sampled > SAMPLE_SECONDS:
            before, self._waiting = self._waiting, self._store.waiting()
            self._metrics.backlog.inc(self._waiting - before)
            self._sampled = time.monotonic()

    def _count(self, parts: list[Frame], status: str) -> None:
        for frame in parts:
            topic = self._line.dead_letter_topic if frame.dead else self._line.sink_topic
            self._metrics.forwarded.labels(topic=topic, status=status).inc(len(frame.messages))
            if status == "success" and self._line.main and frame.dead:
                for _, message in frame.messages:
                    if message.reason is not None:
                        self._metrics.dead_letters.labels(reason=message.reason).inc()
