"""Runs the replay that the resource asks for, once for each id, in one replica at a time."""

from __future__ import annotations

import logging
import time

from headrace.api.bridge_sink import Compression
from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge
from headrace.api.replay import Replay, ReplayOrigin, ReplayState
from headrace.api.status import ReplayPhase
from headrace.bridge.admin import PulsarAdmin, TopicMissingError
from headrace.bridge.dead_letter_replay import DeadLetterReplay
from headrace.bridge.headers import HeaderUnknownError
from headrace.bridge.identity import Identity
from headrace.bridge.lease import NOT_OURS, Lease
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.position_replay import PositionReplay
from headrace.bridge.publisher import PublishError
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.raw_topic import RAW_TROUBLE, RawTopics
from headrace.bridge.remembered import ReplayMemory
from headrace.bridge.replay_flight import Flight, Flights
from headrace.bridge.replay_lines import ReplayLines
from headrace.bridge.replay_run import ENDED, OutOfStepError, RunStore, UnrunnableError
from headrace.bridge.replay_topics import ReplayTopics
from headrace.bridge.scripts import FencedError
from headrace.bridge.source_topics import NoTopicsError, SourceTopics
from headrace.bridge.valkey_sink import open_store
from headrace.bridge.way_back import WayBack
from headrace.process.health import Health
from headrace.process.logs import Seldom
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

TURN_SECONDS = 1.0
DRAIN_SECONDS = 5.0
"""How long a stop waits for letters that were sent and not confirmed."""
TROUBLE: tuple[type[Exception], ...] = (
    PulsarError,
    PublishError,
    HeaderUnknownError,
    NoTopicsError,
    TopicMissingError,
    ValueError,
    KeyError,
    *RAW_TROUBLE,
    *VALKEY_TROUBLE,
)
"""What Pulsar, its admin API and Valkey raise: time or a person mends it. Of Python's own only what an answer raises
that is none of the admin API's: all others are mistakes of ours, and are told with their trace."""

_log = logging.getLogger(__name__)


class ReplayLoop:
    """The replay's thread. It ends when there is nothing left to do."""

    def __init__(
        self,
        bridge: PulsarBridge,
        prefix: str,
        server: ValkeyServer,
        pulsar_client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        lines: ReplayLines,
        health: Health,
        metrics: BridgeMetrics,
        stop: Stop,
        identity: Identity,
        limit_bytes: int,
    ) -> None:
        self._bridge = bridge
        self._replay = bridge.spec.replay
        self._valkey = server.client()
        self._lease = Lease(self._valkey, f"{prefix}:replays")
        self._flights = Flights(self._valkey, prefix, self._lease)
        self._run = RunStore(self._flights, prefix, self._replay) if self._replay else None
        self._limit_bytes = limit_bytes
        self._way: WayBack | None = None
        self._stop_seen = 0.0
        self._pulsar = pulsar_client
        self._admin = admin
        self._raw = raw
        self._prefix = prefix
        self._lines = lines
        self._health = health
        self._name = "the loop of replays"
        self._tick = health.loop(self._name)
        self._metrics = metrics
        self._stop = stop
        self._identity = identity
        self._seldom = Seldom()
        self._backoff = Backoff()

    def run(self) -> None:
        """Replay until everything is published or the stop; every failure of a broker ends in another try."""
        while not self._stop:
            try:
                if self._stand_by() and self._work():
                    break
            except FencedError as error:
                _log.warning("replay: %s; standing by", error)
            except OutOfStepError:
                _log.info("replay: the run is elsewhere than we know; reading it again")
            except TROUBLE as error:
                self._away(error)
            except Exception as error:
                # P1: what is staged is safe in Valkey, what is not lies where it lay
                _log.exception("replay: unexpected error; trying again")
                self._wait(f"unexpected error: {type(error).__name__}: {error}")
            finally:
                self._metrics.replay_running.set(0)
                self._lines.close()
                if self._way is not None:
                    self._way.close()
                    self._way = None
        self._lease.leave()
        self._health.done(self._name)

    def _stand_by(self) -> bool:
        """Wait for the lease; False when the stop came first."""
        while not self._stop:
            self._tick()
            if self._identity.ours() and self._lease.acquire():
                return True
            self._stop.wait(TURN_SECONDS)
        return False

    def _work(self) -> bool:
        """Do what is to be done; whether nothing is left."""
        self._lines.resume()
        if (flight := self._flights.pending()) is not None:
            self._land(flight)
        if self._replay is not None and self._run is not None:
            self._run.load()
            self._follow(self._replay, self._run)
        return self._drained()

    def _land(self, flight: Flight) -> None:
        """Find out which letters arrived that an earlier process sent."""
        way = self._open_way()
        arrived: set[str] = set()
        for topic in {each.target for each in flight.letters}:
            way.obstacle(topic)  # before the look: while our producers live, no other of their name writes
            names = {each.mark: each.name for each in flight.letters if each.target == topic}
            there = way.landed(topic, "", flight.since, flight.run)
            arrived |= {name for mark, name in names.items() if mark in there}
        self._flights.land(flight, arrived)
        _log.info(
            "replay %s: of %d letters that were sent %d had arrived", flight.run, len(flight.letters), len(arrived)
        )

    def _open_way(self) -> WayBack:
        if self._way is None:
            sink, name = self._bridge.spec.sink.pulsar, self._identity.name()
            self._way = WayBack(
                self._pulsar,
                self._raw,
                f"headrace/{self._bridge.identity}@{name}/replay",
                sink.compression if sink else Compression.LZ4,
                self._admin.exists,
                self._while_sending,
            )
        return self._way

    def _follow(self, replay: Replay, run: RunStore) -> None:
        if not run.is_same:
            ended = run.phase in ENDED
            text = replay.refusal(ended=ended)
            run.note(message=text, phase=run.phase if ended else ReplayPhase.PAUSED)
            _log.warning("%s", text)
        elif run.phase in ENDED:
            return
        elif replay.state is ReplayState.RUN:
            self._proceed(replay, run)
        elif replay.state is ReplayState.PAUSED:
            run.note(phase=ReplayPhase.PAUSED, message="replay.state is Paused")
        else:
            run.end(ReplayPhase.CANCELLED, "replay.state is Cancelled")

    def _proceed(self, replay: Replay, run: RunStore) -> None:
        self._metrics.replay_running.set(1)
        try:
            self._carry_out(replay, run)
        except UnrunnableError as error:
            run.end(ReplayPhase.FAILED, str(error))
            _log.error("replay %s: %s", replay.id, error)

    def _carry_out(self, replay: Replay, run: RunStore) -> None:
        work, topics = self._open(replay, run), self._topics(replay)
        if run.ends:
            topics.check(run)
            run.note(phase=ReplayPhase.RUNNING)
        else:
            ends = work.ends()
            run.begin(ends, topics.witnesses(ends))
        _log.info("replay %s: going on; %d replayed so far", replay.id, run.count("replayed"))
        if work.run():
            # the client connects again by itself, perhaps to another topic
            topics.check(run)
            run.end(ReplayPhase.COMPLETED, complaint := work.complaint())
            if complaint:
                _log.warning("replay %s: %s", replay.id, complaint)
            counts = ", ".join(f"{run.count(name)} {name}" for name in ("replayed", "skipped", "failed"))
            _log.info("replay %s: completed: %s", replay.id, counts)

    def _topics(self, replay: Replay) -> ReplayTopics:
        source = self._bridge.spec.source.pulsar
        letters = replay.origin is ReplayOrigin.DEAD_LETTER
        return ReplayTopics(
            self._pulsar,
            self._raw,
            source.subscription if source is not None and not letters else DEAD_LETTER_SUBSCRIPTION,
        )

    def _open(self, replay: Replay, run: RunStore) -> DeadLetterReplay | PositionReplay:
        rest = (replay, run, self._pulsar, self._admin, self._raw)
        if replay.origin is ReplayOrigin.DEAD_LETTER:
            way = self._open_way()
            return DeadLetterReplay(self._bridge, *rest, way, self._metrics, self._turn, self._limit_bytes)
        spec = self._bridge.spec
        assert spec.source.pulsar is not None
        topics = SourceTopics(spec, spec.source.pulsar, self._pulsar, self._admin, lambda *_: None, self._stop)
        memory = ReplayMemory(self._valkey, self._prefix, replay.id)
        store = open_store(self._bridge, self._prefix, self._valkey, memory)
        return PositionReplay(self._bridge, *rest, topics, store, self._prefix, self._metrics, self._turn)

    def _turn(self, seconds: float) -> bool:
        """Called between steps: wait, at least until the lease is sure; False when the stop came."""
        self._tick()
        if not self._identity.ours():
            raise FencedError("another resource has the keys")
        self._lease.renew()
        self._backoff.reset()  # a step was done
        while seconds > TURN_SECONDS and not self._stop.wait(TURN_SECONDS):
            seconds -= TURN_SECONDS
            self._tick()
            self._lease.renew()
        return not self._stop.wait(seconds)

    def _while_sending(self) -> None:
        """Called about once a second while Pulsar takes its time. What was sent is looked for at the next start."""
        if self._turn(0):
            self._stop_seen = 0.0
            return
        self._stop_seen = self._stop_seen or time.monotonic()
        if time.monotonic() - self._stop_seen > DRAIN_SECONDS:
            raise PublishError("the process stops")

    def _drained(self) -> bool:
        """Wait until the lines have published what a version before this one staged; False when the stop came first."""
        while self._lines.waiting():
            cut_off = self._lines.cut_off()
            if cut_off and self._seldom("cut off"):
                _log.warning("replay: waiting for Pulsar to take messages for %s", ", ".join(cut_off))
            if not self._turn(0.1):
                return False
        self._lines.forget()
        return True

    def _away(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}" if isinstance(error, PulsarError) else str(error)
        if self._seldom(text):
            _log.warning("replay: %s; trying again", text)
        self._wait(text)

    def _wait(self, text: str) -> None:
        """Wait before another try, and say why."""
        if self._run is not None:
            try:
                self._run.note(message=f"Waits: {text}")
            except NOT_OURS as problem:
                _log.debug("replay: %s", problem)
        self._tick()
        self._stop.wait(self._backoff.next_seconds())
