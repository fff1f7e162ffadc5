"""Pulsar -> Valkey: receive a batch, deliver it by one script, acknowledge it once it is safe."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial

from valkey.exceptions import ResponseError

from headrace.api.bridge_source import PulsarSource, SubscriptionType
from headrace.api.delivery import Guarantee
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.topic import base_topic
from headrace.bridge.account import Account
from headrace.bridge.acknowledgement import Acknowledgements, Pushed
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.batch import Batch
from headrace.bridge.beginning import Beginnings
from headrace.bridge.circuit import PROBE_MESSAGES, Circuit
from headrace.bridge.client_log import client_log
from headrace.bridge.company import Company, TakenError
from headrace.bridge.delivery import OutOfStepError, refusal_of
from headrace.bridge.delivery_report import DeliveryReport
from headrace.bridge.durability import Settlement
from headrace.bridge.headers import Headers, HeaderUnknownError
from headrace.bridge.identity import Identity
from headrace.bridge.incarnation import Incarnations
from headrace.bridge.incomplete import IncompleteMessages
from headrace.bridge.letter_schemas import LetterSchemas
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.moved_cursor import went_back
from headrace.bridge.preparation import preparer
from headrace.bridge.proof import Proof
from headrace.bridge.pulsar_library import Client, Consumer, Message, NotConnectedError, PulsarError, PulsarTimeoutError
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.recognition import AnotherTopicError, Recognition, UncertainTopicError
from headrace.bridge.recovery import ReopenError
from headrace.bridge.remembered import Remembered
from headrace.bridge.retried import Retried
from headrace.bridge.source_topics import NoTopicsError, SourceTopics
from headrace.bridge.spread_account import SpreadAccount
from headrace.bridge.subscription import Subscription
from headrace.bridge.subscription_standing import SubscriptionStanding
from headrace.bridge.target import target_of
from headrace.bridge.unseen import StoppedError
from headrace.bridge.valkey_sink import open_store
from headrace.process.health import Health, Standing
from headrace.process.logs import Seldom
from headrace.process.stop import Backoff, Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

IDLE_MILLISECONDS = 100
PROOF_SECONDS = 1.0
"""How often it is proved, at rest, that something could be moved."""
DISCONNECTED_SECONDS = 5.0
"""After so long without a broker the consumer is opened anew."""
FULL_SECONDS = 0.1
POLL_SECONDS = 0.05
QUIET_SECONDS = 1.0
"""The broker has nothing more to send when nothing came for so long."""
UNKNOWN_SECONDS = 0.5
STANDING_BY_SECONDS = 2.0
CONNECT_SECONDS = 2.0
"""How long acknowledgements wait for a partition that is being connected anew; others must not wait for ever."""
DRAIN_SECONDS = 5.0
"""How long the stop waits for Valkey to have everything on its disk. What is not acknowledged comes again."""

_REOPENING = (TakenError, AnotherTopicError, UncertainTopicError, OutOfStepError, ReopenError)

_log = logging.getLogger(__name__)


class Inward:
    """The loop of one subscription. Runs in a thread of its own."""

    def __init__(
        self,
        bridge: PulsarBridge,
        source: PulsarSource,
        prefix: str,
        topics: SourceTopics,
        company: Company,
        server: ValkeyServer,
        pulsar_client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        health: Health,
        metrics: BridgeMetrics,
        stop: Stop,
        identity: Identity,
        bucket: TokenBucket,
        circuit: Circuit,
        proof: Proof,
    ) -> None:
        spec = bridge.spec
        self._main = source is spec.source.pulsar
        self._consumes = spec.consumes
        assert spec.sink.valkey is not None
        spread = source.subscription_type is not SubscriptionType.FAILOVER
        self._target = target_of(spec.sink.valkey).key
        self._headers = Headers(raw)
        self._letter_schemas = LetterSchemas(bridge, pulsar_client, raw)
        self._prepare = preparer(bridge, prefix, self._headers)
        self._valkey = server.client()
        delivery = spec.effective_delivery
        once = delivery.guarantee is Guarantee.EFFECTIVELY_ONCE
        remembered = Remembered(self._valkey, prefix, source.subscription)
        self._store = open_store(bridge, prefix, self._valkey, remembered, bucket, once=once, spread=spread)
        incarnations = Incarnations(pulsar_client, raw, source.subscription)
        beginnings = Beginnings(source, pulsar_client, admin, incarnations, self._valkey, remembered)
        self._identity = identity
        self._subscription = Subscription(source, topics, pulsar_client, beginnings, company, once=once)
        self._bucket = bucket
        self._circuit = circuit
        self._ordered = not spread
        self._admin = admin
        self._recognition = Recognition(client_log(), incarnations, source.subscription, self._store)
        self._store.recognise = self._recognition.recognise
        self._consumer: Consumer | None = None
        self._settlement: Settlement[Pushed] = Settlement(
            self._valkey,
            prefix,
            delivery,
            lambda durability: metrics.durability_unmet.labels(durability=durability.value).inc(),
        )
        self._health = health
        self._name = topics.label
        self._tick = health.loop(self._name)
        self._stands = SubscriptionStanding(self._name, lambda: self._subscription.opened, health, proof)
        self._metrics = metrics
        self._report = DeliveryReport(metrics, source.subscription, topics.label)
        self._stop = stop
        self._proved_at = self._connected_at = 0.0
        self._seldom = Seldom()
        self._backoff = Backoff()
        self._received = 0.0
        self._account: Account | SpreadAccount
        if spread:
            self._account = SpreadAccount(
                bridge,
                source.subscription_type,
                self._subscription,
                topics,
                pulsar_client,
                admin,
                raw,
                client_log(),
                IncompleteMessages(self._valkey, prefix),
                self._prepare,
                metrics,
                self._tick,
            )
        else:
            self._account = Account(
                bridge,
                self._subscription,
                topics,
                pulsar_client,
                admin,
                raw,
                partial(client_log().discarded, source.subscription),
                self._valkey,
                self._store,
                prefix,
                self._prepare,
                metrics,
                self._tick,
                self._hold_unknown,
                self._recognition.is_same,
                exact=once,
            )
        self._unsettled = Acknowledgements(self._settlement, self._account.acknowledge, individual=spread)

    def run(self) -> None:
        """Move messages until the stop; every failure of a broker ends in another try."""
        while not self._stop:
            try:
                if self._ours() and self._circuit.hold(self._tick):
                    self._open()
                    self._work()
            except VALKEY_TROUBLE as error:
                self._away(self._stands.valkey, error)
            except (PulsarError, NoTopicsError, HeaderUnknownError) as error:
                self._away(self._stands.pulsar, error)
            except _REOPENING as error:
                self._reopen(error)
            except StoppedError:
                break
            except Exception:
                # P1: nothing is acknowledged that is not in Valkey, so another try loses nothing
                _log.exception("%s: unexpected error; trying again", self._subscription.label)
                self._stop.wait(self._backoff.next_seconds())
            finally:
                self._close()
        self._health.done(self._name)

    def _ours(self) -> bool:
        """Wait until our resource has the bridge's keys in Valkey; False when the stop came first."""
        while not self._identity.ours():
            self._tick()
            self._stands.valkey.rest()
            self._subscription.look()
            self._stands.pulsar.served()
            if self._stop.wait(STANDING_BY_SECONDS):
                return False
        return True

    def _taken(self, error: TakenError) -> None:
        self._tick()
        self._report.failures(self._subscription.label, self._stands.taken(error)).inc()
        self._stop.wait(STANDING_BY_SECONDS)

    def _open(self) -> None:
        self._store.load()
        self._account.open()
        self._recognition.prepare()
        self._consumer = self._subscription.open(self._before_opening)
        self._recognition.begin(self._subscription.opened)
        self._store.load()
        self._stands.alone()
        self._connected_at = time.monotonic()
        _log.info("%s: moving to %s", self._subscription.label, self._target)

    def _before_opening(self, topics: Iterable[str]) -> None:
        """Learn of *topics* what must be known before anything of them is received."""
        account, queue = self._account, self._subscription.queue
        if self._main:
            self._letter_schemas.give(topics)
        for topic in topics:
            if queue.knows(topic) and account.knows(topic):
                continue
            try:
                internal = self._admin.internal_stats(topic)
                queue.learn(topic, internal)
                account.begin(topic, internal)
            except ADMIN_TROUBLE as error:
                if self._seldom(str(error)):
                    _log.warning("%s: cannot look at what waits there: %s", topic, error)

    def _work(self) -> None:
        assert self._consumer is not None
        while not self._stop and self._identity.ours() and not self._subscription.changed():
            self._tick()
            self._bucket.sample(self._valkey)
            started = time.monotonic()
            if messages := self._receive(self._consumer):
                self._stands.pulsar.served()
                self._received = time.monotonic()
                self._watch()
                self._move(messages, started)
            else:
                self._idle()
            self._look()
            self._headers.rest()
            self._settle()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._unsettled and time.monotonic() < deadline:
            self._tick()
            time.sleep(POLL_SECONDS)
            self._settle()

    def _receive(self, consumer: Consumer) -> list[Message]:
        """What has arrived. It waits longer for the first message than for more: the client's own timer for a batch
        runs to its end whenever less than a whole batch is there."""
        try:
            first = consumer._consumer.receive(IDLE_MILLISECONDS)
        except PulsarTimeoutError:
            return []
        if self._subscription.batching.max_messages == 1:
            return [first]
        return [first, *consumer._consumer.batch_receive()]

    def _move(self, messages: Sequence[Message], started: float) -> None:
        batch = self._prepare(messages if self._main else [Retried(each, self._consumes) for each in messages])
        if self._subscription.queue.observe(len(batch), batch.size()):
            raise ReopenError(f"{self._subscription.label}: its messages have another size than before")
        batch.messages = messages
        self._store.make_sure(batch)
        if not self._push_all(self._account.whole(batch)):
            return
        self._metrics.seconds.observe(time.monotonic() - started)

    def _push_all(self, parts: Iterable[Batch]) -> bool:
        """Push one part after the other; False when the stop came first."""
        for part in parts:
            self._stands.seen()
            self._in_flight(len(part))
            if not self._push(part):
                return False
            self._unsettled.add(part, self._account.ceilings())
            self._in_flight(0)
        return True

    def _watch(self) -> None:
        """Has the client connected a partition anew, perhaps to another topic of its name?"""
        for partition in self._recognition.reconnected():
            self._unsettled.void(partition)
            if self._ordered:
                self._recognition.after_reconnect(partition)
            done = self._unsettled.done if self._ordered else self._store.lines
            if went_back(self._admin, self._subscription.name, partition, done.get(partition)):
                self._report.failures(base_topic(partition), "CursorMovedBack").inc()
                if self._ordered:
                    # this client keeps back what it acknowledged before, which must be acknowledged again
                    raise UncertainTopicError(f"{partition} comes once more")

    def _reopen(self, error: Exception) -> None:
        """Open the consumer anew; what is in hand comes again, from the topic that there is now."""
        if isinstance(error, TakenError):
            self._taken(error)
        elif isinstance(error, AnotherTopicError):
            self._report.failures(base_topic(error.partition), "TopicReplaced").inc()
            _log.warning("%s: what is remembered of it is dropped, and it is read whole", error)
            try:
                self._store.forget(error.partition)
                self._account.forget(error.partition)
            except VALKEY_TROUBLE as trouble:
                self._away(self._stands.valkey, trouble)
        elif isinstance(error, ReopenError):
            _log.warning("%s; opening the consumer anew", error)
            if error.put_more_together:
                self._subscription.put_more_together()
        else:
            _log.info("%s: opening it anew (%s)", self._subscription.label, error)

    def _push(self, batch: Batch) -> bool:
        """Push everything, however long the target stays full; False when the stop came first."""
        self._report.offered(batch)
        rest = batch
        while rest:
            most = PROBE_MESSAGES if self._circuit.probing else len(rest)
            left, why = self._offer(rest, most)
            all_taken = len(rest) - len(left) >= most
            rest = left
            if rest and not all_taken and not self._hold(why, len(rest)):
                return False
        self._report.pushed(batch)
        return True

    def _offer(self, batch: Batch, most: int) -> tuple[Batch, str]:
        """Push what Valkey takes of *batch*; what is left, and why, or nothing when it is for the rate limit."""
        try:
            delivered = self._store.push(batch, most)
        except ResponseError as error:
            if (refusal := refusal_of(error)) is None:
                raise
            self._report.failures(self._subscription.label, refusal).inc()
            self._stands.valkey.failed(error)
            self._circuit.failed(error)
            return batch, f"Valkey refuses messages ({refusal}): {error}"
        self._stands.valkey.served()
        self._backoff.reset()
        self._circuit.succeeded()
        self._report.delivered(delivered)
        return delivered.rest, "" if delivered.limited else f"{self._target} is full"

    def _hold(self, why: str, count: int) -> bool:
        """Wait a little with what Valkey does not take now, or the rate limit holds (*why* is empty then); False when
        the stop came."""
        if not why:
            self._bucket.waited(FULL_SECONDS)
        elif self._seldom(why):
            _log.warning("%s; %d messages wait here", why, count)
        self._while_held()
        return not self._stop.wait(FULL_SECONDS) and self._circuit.hold(self._while_held)

    def _while_held(self) -> None:
        """Called from time to time while messages in hand must wait."""
        if self._subscription.queue.overflows():
            raise ReopenError(f"{self._subscription.label}: what it received in advance takes too much memory")
        self._tick()
        self._prove_pulsar()
        self._settle()

    def _settle(self) -> None:
        """Acknowledge what is safe by now."""
        assert self._consumer is not None
        self._watch()
        if self._consumer.is_connected():
            self._connected_at = time.monotonic()
        elif time.monotonic() - self._connected_at < CONNECT_SECONDS:
            return  # the client would keep it and send it to whatever it connects to
        if self._unsettled.settle(self._consumer):
            self._in_flight(0)

    def _look(self) -> None:
        """Deal with what the client does not give out."""
        idle = time.monotonic() - self._received > QUIET_SECONDS
        self._push_all(self._account.look(idle=idle, settled=not self._unsettled))

    def _hold_unknown(self, why: str) -> bool:
        """Wait a little: it is not known what becomes of something. False when the stop came."""
        self._stands.hidden(why)
        self._while_held()
        return not self._stop.wait(UNKNOWN_SECONDS)

    def _idle(self) -> None:
        if time.monotonic() - self._proved_at < PROOF_SECONDS:
            return
        self._proved_at = time.monotonic()
        self._store.prove()
        self._settlement.prove()
        self._stands.valkey.served()
        if self._circuit.probing:
            self._circuit.succeeded()  # nothing came to try it with
        if self._prove_pulsar():
            self._backoff.reset()

    def _prove_pulsar(self) -> bool:
        """Whether Pulsar would give something now. Raises PulsarError when it has not for too long: a new consumer
        finds out why, and the library tries an old one once a minute at last."""
        assert self._consumer is not None
        connected = self._consumer.is_connected()
        if connected:
            self._connected_at = time.monotonic()
        elif time.monotonic() - self._connected_at > DISCONNECTED_SECONDS:
            raise NotConnectedError("no connection")
        return self._stands.proves_pulsar(connected=connected)

    def _in_flight(self, more: int) -> None:
        if self._main:
            self._metrics.in_flight.set(more + self._unsettled.count)

    def _away(self, standing: Standing, error: Exception) -> None:
        self._report.failures(self._subscription.label, self._stands.failed(standing, error)).inc()
        self._tick()
        if standing is self._stands.valkey and self._circuit.failed(error):
            return
        self._stop.wait(self._backoff.next_seconds())

    def _close(self) -> None:
        """Give the subscription up; what is not acknowledged comes again, and what was pushed is dropped."""
        self._unsettled.clear()
        self._in_flight(0)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close()
            except PulsarError as error:
                _log.debug("closing the consumer: %s", error)
