"""Asks Pulsar and Valkey what one resource needs to know, and remembers it for as long as that is good enough."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge, PulsarBridgeSpec
from headrace.api.resource import Resource
from headrace.api.tls import BadCertificateError, tls_context
from headrace.api.valkey_worker import ValkeyWorkerSpec
from headrace.pulsar.admin import PulsarAdmin
from headrace.pulsar.errors import PulsarError, PulsarUnreachableError
from headrace.pulsar.facts import PulsarFacts
from headrace.pulsar.observe import count, observe, topics_of
from headrace.pulsar.perform import perform
from headrace.pulsar.plan import Action
from headrace.pulsar.wanted import wanted
from headrace.reconcile.address import seen_from_operator
from headrace.reconcile.celery_broker import ask_celery_broker, broker_address
from headrace.reconcile.outages import Outages
from headrace.reconcile.outcome import status_of
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.snapshot import Numbers
from headrace.reconcile.valkey_numbers import ask_valkey
from headrace.reconcile.verdicts import (
    BrokerAuthenticationFailedError,
    BrokerUnreachableError,
    ClusterUnsupportedError,
    ValkeyAuthenticationFailedError,
    ValkeyUnreachableError,
)

_REFUSALS = (
    PulsarError,
    ValkeyUnreachableError,
    ValkeyAuthenticationFailedError,
    ClusterUnsupportedError,
    BrokerUnreachableError,
    BrokerAuthenticationFailedError,
)

LIVE_SECONDS = 30.0
"""Live numbers are at most this old, and never asked for more often."""
FACTS_SECONDS = 300.0
"""Settled topics are looked at again after this long, for drift."""


@dataclass(frozen=True)
class Answers:
    """What the brokers said."""

    pulsar: PulsarFacts | None = None
    numbers: Numbers = field(default_factory=Numbers)
    problems: tuple[Exception, ...] = ()


@dataclass(frozen=True)
class _Memory:
    """The last good answers for one resource."""

    asked_with: tuple[int, Credentials]
    """Generation and credentials: with others the answers do not count."""
    answers: Answers
    numbers_at: float
    facts_at: float


class Brokers:
    """All talk to Pulsar and Valkey on behalf of the resources."""

    def __init__(
        self, session: aiohttp.ClientSession, clock: Callable[[], float], *, live_seconds: float = LIVE_SECONDS
    ) -> None:
        self._session = session
        self._clock = clock
        self._live_seconds = live_seconds
        self._memories: dict[str, _Memory] = {}
        self._outages = Outages(clock)

    async def ask(
        self, resource: Resource, credentials: Credentials, body: Mapping[str, Any], *, thorough: bool
    ) -> Answers:
        """Ask what is not known recently enough. *thorough*: ask everything."""
        now = self._clock()
        asked_with = (resource.metadata.generation, credentials)
        memory = self._memories.get(resource.metadata.uid)
        if memory is None or memory.asked_with != asked_with or thorough:
            memory = None
        if memory and now - memory.numbers_at < self._live_seconds:
            return memory.answers
        facts = memory.answers.pulsar if memory and now - memory.facts_at < FACTS_SECONDS else None
        answers = await self._ask_now(resource, credentials, body, facts)
        if answers.problems:
            self._memories.pop(resource.metadata.uid, None)
        else:
            facts_at = memory.facts_at if memory and facts else now
            self._memories[resource.metadata.uid] = _Memory(asked_with, answers, now, facts_at)
        return answers

    def forget(self, uid: str) -> None:
        """The facts changed, or the resource is gone."""
        self._memories.pop(uid, None)

    async def perform(self, bridge: PulsarBridge, credentials: Credentials, action: Action) -> None:
        """Carry out a planned action; raises PulsarError."""
        await perform(self._admin(bridge, credentials), action)

    async def _ask_now(
        self, resource: Resource, credentials: Credentials, body: Mapping[str, Any], facts: PulsarFacts | None
    ) -> Answers:
        place, spec = resource.metadata.namespace, resource.spec
        addresses = [
            seen_from_operator(spec.valkey.url, place) if isinstance(spec, ValkeyWorkerSpec | PulsarBridgeSpec) else "",
            seen_from_operator(spec.pulsar.admin_url, place) if isinstance(spec, PulsarBridgeSpec) else "",
        ]
        valkey, pulsar, broker = await asyncio.gather(
            _attempt(self._outages.ask(addresses[0], lambda: ask_valkey(resource, credentials))),
            _attempt(self._outages.ask(addresses[1], lambda: self._ask_pulsar(resource, credentials, body, facts))),
            _attempt(
                self._outages.ask(
                    broker_address(resource), lambda: ask_celery_broker(resource, credentials, self._session)
                )
            ),
        )
        problems = tuple(answer for answer in (valkey, pulsar, broker) if isinstance(answer, Exception))
        numbers = valkey if isinstance(valkey, Numbers) else Numbers()
        if isinstance(broker, Numbers):
            numbers = replace(numbers, backlog=broker.backlog, queues=broker.queues)
        if isinstance(pulsar, tuple):
            facts, counted = pulsar
            known = {name: value for name, value in vars(counted).items() if value not in (None, ())}
            return Answers(facts, replace(numbers, **known), problems)
        return Answers(None, numbers, problems)

    async def _ask_pulsar(
        self, resource: Resource, credentials: Credentials, body: Mapping[str, Any], facts: PulsarFacts | None
    ) -> tuple[PulsarFacts | None, Numbers]:
        if not isinstance(resource, PulsarBridge):
            return None, Numbers()
        admin = self._admin(resource, credentials)
        remembered = _remembered_topics(body)
        if facts is not None and (numbers := await self._count(admin, resource, facts)) is not None:
            return facts, numbers
        # Nothing is remembered, or a subscription went: look again.
        facts = await observe(admin, wanted(resource), remembered)
        return facts, await self._count(admin, resource, facts) or Numbers()

    async def _count(self, admin: PulsarAdmin, resource: PulsarBridge, facts: PulsarFacts) -> Numbers | None:
        """Live numbers of the subscriptions that *facts* know; None when one of them is gone."""
        numbers = Numbers()
        letters = resource.spec.dead_letter_topic
        if DEAD_LETTER_SUBSCRIPTION in _subscriptions(facts, letters):
            counted = await count(admin, letters, DEAD_LETTER_SUBSCRIPTION)
            if counted is None:
                return None
            numbers = replace(numbers, dead_letters=counted.backlog)
        source = resource.spec.source.pulsar
        if source is None:
            return numbers
        counts = []
        for topic in await self._sources(admin, resource, facts):
            counted = await count(admin, topic, source.subscription)
            if counted is None and source.names:
                return None
            counts += [counted] if counted else []
        if not counts:
            return numbers
        # the same pods read all topics, so the consumers are not added up
        return replace(
            numbers, backlog=sum(each.backlog for each in counts), consumers=max(each.consumers for each in counts)
        )

    async def _sources(self, admin: PulsarAdmin, resource: PulsarBridge, facts: PulsarFacts) -> list[str]:
        """The topics that the bridge reads, as far as they stand."""
        source = resource.spec.source.pulsar
        assert source is not None
        if source.topics_pattern:
            return [topic for topic in await topics_of(admin, source.namespace) if resource.spec.consumes(topic)]
        return [topic for topic in source.names if source.subscription in _subscriptions(facts, topic)]

    def _admin(self, bridge: PulsarBridge, credentials: Credentials) -> PulsarAdmin:
        try:
            tls = tls_context(credentials.pulsar_ca)
        except BadCertificateError as error:
            raise PulsarUnreachableError(
                f"Pulsar's admin API is not asked: {error}; see spec.pulsar.tls.caSecretRef"
            ) from None
        named = bridge.spec.pulsar.admin_url
        url = seen_from_operator(named, bridge.metadata.namespace)
        server_name = urlsplit(named).hostname if url.startswith("https://") else None
        token = credentials.pulsar_token
        return PulsarAdmin(self._session, url, token=token, tls=tls, server_name=server_name)


async def _attempt(question: Any) -> Any:
    """The answer, or the typed error as a value: one broker's outage must not hide the other's answer."""
    try:
        return await question
    except _REFUSALS as error:
        return error


def _subscriptions(facts: PulsarFacts, topic: str) -> frozenset[str]:
    found = facts.topics.get(topic)
    return found.subscriptions if found else frozenset()


def _remembered_topics(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Topics that the status lists: one that left the spec may still carry a policy of ours."""
    topics = status_of(body).get("topics")
    if not isinstance(topics, list):
        return ()
    return tuple(topic["name"] for topic in topics if isinstance(topic, dict) and isinstance(topic.get("name"), str))
