"""Runs the replay that the resource asks for, once for each id, in one replica at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from valkey.exceptions import ValkeyError

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay, ReplayOrigin, ReplayState
from headrace.api.status import ReplayPhase
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin, TopicMissingError
from headrace.bridge.dead_letter_replay import DeadLetterReplay
from headrace.bridge.identity import Identity
from headrace.bridge.inward import open_store
from headrace.bridge.lease import Lease
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.outward import NOT_OURS
from headrace.bridge.position_replay import PositionReplay
from headrace.bridge.proof import Proof
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.bridge.replay_lines import ReplayLines
from headrace.bridge.replay_run import ENDED, OutOfStepError, RunStore, UnrunnableError
from headrace.bridge.scripts import FencedError
from headrace.bridge.source_topics import NoTopicsError, SourceTopics
from headrace.process.health import Health
from headrace.process.logs import Seldom
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

LOOP = "replay"
TURN_SECONDS = 1.0
TROUBLE: tuple[type[Exception], ...] = (
    PulsarError,
    NoTopicsError,
    TopicMissingError,
    *ADMIN_TROUBLE,
    *VALKEY_TROUBLE,
)
"""What Pulsar, its admin API and Valkey raise: time or a person mends it."""

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
        lines: ReplayLines,
        health: Health,
        metrics: BridgeMetrics,
        stop: Stop,
        identity: Identity,
        proof: Proof,
    ) -> None:
        self._bridge = bridge
        self._replay = bridge.spec.replay
        self._valkey = server.client()
        self._lease = Lease(self._valkey, f"{prefix}:replays")
        self._run = RunStore(self._valkey, prefix, self._lease, self._replay) if self._replay else None
        self._pulsar = pulsar_client
        self._admin = admin
        self._prefix = prefix
        self._lines = lines
        self._health = health
        self._tick = health.loop(LOOP)
        self._proof = proof
        self._topic = _topic_read(bridge)
        self._at_valkey = health.standing(LOOP, "valkey")
        self._at_pulsar = health.standing(LOOP, "pulsar", lambda: proof.about(self._topic))
        self._done = 0
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
            except Exception:
                # P1: what is staged is safe in Valkey, what is not lies where it lay
                _log.exception("replay: unexpected error; trying again")
                self._stop.wait(self._backoff.next_seconds())
            finally:
                self._metrics.replay_running.set(0)
                self._lines.close()
        try:
            self._lease.release()
        except NOT_OURS:
            _log.debug("replay: the lease was not ours to release")
        self._health.done(LOOP)

    def _stand_by(self) -> bool:
        """Wait for the lease; False when the stop came first."""
        while not self._stop:
            self._tick()
            if self._identity.ours() and self._lease.acquire():
                return True
            self._at_valkey.served()
            self._at_pulsar.rest()
            self._stop.wait(TURN_SECONDS)
        return False

    def _work(self) -> bool:
        """Do what is to be done; whether nothing is left."""
        self._lines.resume()
        if self._replay is not None and self._run is not None:
            self._run.load()
            self._follow(self._replay, self._run)
        return self._drained(self._run)

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
        work = self._open(replay, run)
        if run.ends:
            run.note(phase=ReplayPhase.RUNNING)
        else:
            try:
                run.begin(work.ends())
            except UnrunnableError as error:
                run.end(ReplayPhase.FAILED, str(error))
                _log.error("replay %s: %s", replay.id, error)
                return
        _log.info("replay %s: going on; %d replayed so far", replay.id, run.count("replayed"))
        if work.run() and self._drained(run):
            run.end(ReplayPhase.COMPLETED, complaint := work.complaint())
            if complaint:
                _log.warning("replay %s: %s", replay.id, complaint)
            counts = ", ".join(f"{run.count(name)} {name}" for name in ("replayed", "skipped", "failed"))
            _log.info("replay %s: completed: %s", replay.id, counts)

    def _open(self, replay: Replay, run: RunStore) -> DeadLetterReplay | PositionReplay:
        rest = (replay, run, self._pulsar, self._admin)
        if replay.origin is ReplayOrigin.DEAD_LETTER:
            return DeadLetterReplay(self._bridge, *rest, self._lines, self._metrics, self._turn)
        spec = self._bridge.spec
        assert spec.source.pulsar is not None
        topics = SourceTopics(spec, spec.source.pulsar, self._pulsar, self._admin, lambda *_: None, self._stop)
        store = open_store(self._bridge, self._prefix, self._valkey, replay=replay.id)
        return PositionReplay(self._bridge, *rest, topics, store, self._prefix, self._metrics, self._turn)

    def _turn(self, seconds: float) -> bool:
        """Called between steps: wait, at least until the lease is sure; False when the stop came."""
        self._tick()
        if not self._identity.ours():
            raise FencedError("another resource has the keys")
        self._keep()
        while seconds > TURN_SECONDS and not self._stop.wait(TURN_SECONDS):
            seconds -= TURN_SECONDS
            self._tick()
            self._keep()
        return not self._stop.wait(seconds)

    def _keep(self) -> None:
        """Keep the lease, and say how things stand."""
        self._lease.renew()
        self._at_valkey.served()
        if not self._topic or self._proof.proved(self._topic):
            self._at_pulsar.served()
        done = self._run.done if self._run else 0
        if done != self._done:
            self._done = done
            self._backoff.reset()

    def _drained(self, run: RunStore | None) -> bool:
        """Wait until the lines have published everything; False when the stop came first."""
        while self._lines.waiting():
            cut_off = self._lines.cut_off()
            if cut_off and self._seldom("cut off"):
                _log.warning("replay: waiting for Pulsar to take messages for %s", ", ".join(cut_off))
            if run is not None and run.phase is ReplayPhase.RUNNING:
                run.note(message=_waiting_text(cut_off))
            if not self._turn(0.1):
                return False
        self._lines.forget()
        return True

    def _away(self, error: Exception) -> None:
        standing = self._at_valkey if isinstance(error, ValkeyError) else self._at_pulsar
        text = str(standing.failed(error))
        if self._run is not None:
            try:
                self._run.note(message=f"Waits: {text}")
            except NOT_OURS as problem:
                _log.debug("replay: %s", problem)
        self._tick()
        self._stop.wait(self._backoff.next_seconds())


def _topic_read(bridge: PulsarBridge) -> str:
    """A topic that the replay reads; empty when nothing is to be replayed, or the topics go by a pattern."""
    if bridge.spec.replay is None:
        return ""
    if bridge.spec.replay.origin is ReplayOrigin.DEAD_LETTER:
        return bridge.spec.dead_letter_topic
    source = bridge.spec.source.pulsar
    return source.names[0] if source and source.names else ""


def _waiting_text(topics: Sequence[str]) -> str:
    return f"Waits for Pulsar to take messages for {', '.join(topics)}" if topics else ""
