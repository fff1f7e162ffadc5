"""The two ends of a pass: ``gather`` reads everything a plan may know, ``execute`` writes what the plan says."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import InvalidResourceError, Resource, parse
from headrace.desired.inputs import Inputs
from headrace.desired.names import label_value
from headrace.pulsar.errors import AuthenticationFailedError, PulsarError, PulsarUnreachableError
from headrace.reconcile.api_server import AlreadyExistsError, ApiServer
from headrace.reconcile.brokers import Answers, Brokers
from headrace.reconcile.cache import Cache
from headrace.reconcile.circle import circle_of
from headrace.reconcile.desires import desired_children
from headrace.reconcile.kinds import MODELS, Key, Reference
from headrace.reconcile.outcome import status_of, with_failures
from headrace.reconcile.ownership import Ownership, ownership
from headrace.reconcile.plan import Plan
from headrace.reconcile.recorder import Recorder
from headrace.reconcile.secrets import (
    Credentials,
    SecretData,
    SecretStore,
    credentials,
    hash_of,
    missing,
    needs,
    without_secrets,
)
from headrace.reconcile.sharing import sharers_of
from headrace.reconcile.snapshot import Numbers, PodFacts, Snapshot
from headrace.reconcile.verdicts import (
    KubernetesInvalidError,
    KubernetesRefusedError,
    NameConflictError,
    OutdatedError,
    verdict,
)
from headrace.reconcile.workload import pod_facts

logger = logging.getLogger(__name__)


_REPLACEABLE = frozenset({"Service", "PodDisruptionBudget"})
"""Kinds that nothing is lost with. What somebody else put into one may forbid ours beside it; then it is made anew."""


@dataclass(frozen=True)
class Gathered:
    """A snapshot, and what only ``execute`` may know."""

    key: Key
    snapshot: Snapshot
    resource: Resource | None
    """None when the body does not parse."""
    credentials: Credentials


@dataclass(frozen=True)
class Done:
    """What a pass came to."""

    plan: Plan
    retry: bool
    """Whether to come again with backoff."""


class World:
    """Kubernetes, Pulsar and Valkey, as one pass sees them."""

    def __init__(
        self,
        *,
        api: ApiServer,
        cache: Cache,
        secrets: SecretStore,
        brokers: Brokers,
        recorder: Recorder,
        worker_image: str,
        monitoring: Callable[[], bool],
        watches: Callable[[str], bool],
    ) -> None:
        self._api = api
        self._cache = cache
        self._secrets = secrets
        self._brokers = brokers
        self._recorder = recorder
        self._worker_image = worker_image
        self._monitoring = monitoring
        self._watches = watches
        self._own_versions: dict[Key, str] = {}
        self._without_status: dict[Key, str] = {}
        self._secret_users: dict[Key, tuple[str, frozenset[str]]] = {}

    def wrote(self, key: Key, version: str) -> bool:
        """Whether *version* of a resource is our own status write."""
        return self._own_versions.get(key) == version

    def users_of_secret(self, namespace: str, name: str) -> list[Key]:
        """The resources that refer to a Secret."""
        return [key for key, (where, names) in self._secret_users.items() if where == namespace and name in names]

    def forget(self, key: Key, uid: str) -> None:
        """The resource is gone."""
        self._own_versions.pop(key, None)
        self._without_status.pop(key, None)
        self._secret_users.pop(key, None)
        self._brokers.forget(uid)

    async def gather(self, key: Key, *, thorough: bool = False) -> Gathered | None:
        """Everything about *key*; None when it is gone or going. *thorough*: trust no memory."""
        if thorough:
            self._without_status.pop(key, None)
        body = None if thorough else self._cache.resource(key)
        if body is None:
            body = await self._api.get(Reference(key.kind, key.namespace, key.name))
            if body is None:
                self._cache.drop(Reference(key.kind, key.namespace, key.name))
                return None
            self._cache.put(body)
        if body["metadata"].get("deletionTimestamp"):
            return None
        resource = _parsed(body)
        if resource is None or not status_of(body):
            inputs = Inputs(self._worker_image, "", self._monitoring())
            return Gathered(key, Snapshot(body, inputs), resource, Credentials())
        return await self._gather_all(key, body, resource, thorough=thorough)

    async def _gather_all(self, key: Key, body: dict[str, Any], resource: Resource, *, thorough: bool) -> Gathered:
        wanted = needs(resource)
        self._secret_users[key] = (key.namespace, frozenset(need.name for need in wanted))
        if thorough:
            for need in wanted:
                self._secrets.changed(key.namespace, need.name)
        secrets = await self._secrets.read(key.namespace, (need.name for need in wanted))
        absent = missing(wanted, secrets)
        known = credentials(resource, secrets)
        inputs = Inputs(self._worker_image, hash_of(wanted, secrets), self._monitoring())
        answers = (
            Answers(problems=(absent,)) if absent else await self._brokers.ask(resource, known, body, thorough=thorough)
        )
        snapshot = Snapshot(
            body=body,
            inputs=inputs,
            children=await self._children(body, _desired(resource, inputs)),
            pods=self._pods(key, secrets),
            pulsar=answers.pulsar,
            numbers=_without_secrets(answers.numbers, secrets),
            departed=self._departed(answers),
            circle=self._circle(key, body),
            sharers=self._sharers(key, body),
            problems=answers.problems,
        )
        return Gathered(key, snapshot, resource, known)

    async def _children(
        self, body: Mapping[str, Any], desired: Sequence[Mapping[str, Any]]
    ) -> dict[Reference, Mapping[str, Any]]:
        """What is owned, and what else has the name of a desired child: that is not watched, so it is asked for."""
        found: dict[Reference, Mapping[str, Any]] = dict(self._cache.owned(body["metadata"]["uid"]))
        absent = [reference for each in desired if (reference := Reference.of(each)) not in found]
        for reference, live in zip(absent, await asyncio.gather(*map(self._api.get, absent)), strict=True):
            if live is not None:
                found[reference] = live
                if ownership(live, body) is Ownership.OURS:
                    self._cache.put(live)
        return found

    def _pods(self, key: Key, secrets: Mapping[str, SecretData]) -> tuple[PodFacts, ...]:
        pods = self._cache.pods(key, label_value(key.name))
        facts = [pod_facts(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return tuple(
            PodFacts(pod.name, pod.ready, pod.failure and without_secrets(pod.failure, secrets), pod.waiting)
            for pod in facts
        )

    def _circle(self, key: Key, body: Mapping[str, Any]) -> tuple[str, ...]:
        if key.kind != PulsarBridge.__name__:
            return ()
        return circle_of(body, (each for each in self._cache.resources() if each.get("kind") == key.kind))

    def _sharers(self, key: Key, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        return sharers_of(body, self._cache.resources()) if key.kind == PulsarBridge.__name__ else ()

    def _departed(self, answers: Answers) -> frozenset[str]:
        """Owners of policies that we would know if they existed."""
        owners = {
            owner
            for topic in (answers.pulsar.topics.values() if answers.pulsar else ())
            for owner in topic.policy_owners.values()
        }
        return frozenset(owner for owner in owners if self._is_gone(owner))

    def _is_gone(self, owner: str) -> bool:
        kind, _, place = owner.partition("/")
        namespace, _, name = place.partition("/")
        return (
            kind in MODELS
            and bool(name)
            and self._watches(namespace)
            and self._cache.resource(Key(kind, namespace, name)) is None
        )

    async def execute(self, gathered: Gathered, plan: Plan, now: datetime) -> Done:
        """Carry out *plan*.

        Raises OutdatedError, KubernetesUnavailableError, LeadershipLostError: then nothing is said in the status.
        """
        snapshot = gathered.snapshot
        failures: list[Exception] = []
        if plan.pulsar:
            failures += await self._perform(gathered, plan)
        if not failures:
            failures += await self._apply(gathered.key, plan)
        for each in plan.delete:
            await self._api.delete(each.reference, each.uid)
            # Gone, or not the one we knew: either way what the cache holds is old.
            self._cache.drop(each.reference)
            logger.info("Deleted %s", each.reference, extra={"resource": str(gathered.key)})
        if failures:
            plan = with_failures(plan, snapshot, failures, now)
        if any(isinstance(problem, PulsarError) for problem in plan.problems):
            self._brokers.forget(snapshot.body["metadata"]["uid"])
        if await self._write_status(gathered.key, snapshot, plan):
            for event in plan.events:
                await self._recorder.emit(snapshot.body, event)
        return Done(plan, any(verdict(problem).retry for problem in plan.problems))

    async def _perform(self, gathered: Gathered, plan: Plan) -> list[Exception]:
        assert isinstance(gathered.resource, PulsarBridge)
        self._brokers.forget(gathered.resource.metadata.uid)
        failures: list[Exception] = []
        for action in plan.pulsar:
            try:
                await self._brokers.perform(gathered.resource, gathered.credentials, action)
            except (PulsarUnreachableError, AuthenticationFailedError) as error:
                return [*failures, error]
            except PulsarError as error:
                failures.append(error)
        return failures

    async def _apply(self, key: Key, plan: Plan) -> list[Exception]:
        """Apply in order, and stop at the first failure: what pods read comes before the pods."""
        for each in plan.apply:
            try:
                live = await self._api.apply(dict(each.body), live_uid=each.live_uid)
            except AlreadyExistsError:
                return [NameConflictError(f"{each.reference} exists and belongs to somebody else: delete or rename it")]
            except KubernetesInvalidError as error:
                if each.live_uid is None or each.reference.kind not in _REPLACEABLE:
                    return [KubernetesRefusedError(f"{each.reference}: {error}")]
                await self._api.delete(each.reference, each.live_uid)
                self._cache.drop(each.reference)
                raise OutdatedError(f"{each.reference} is made anew: {error}") from None
            except KubernetesRefusedError as error:
                return [KubernetesRefusedError(f"{each.reference}: {error}")]
            except OutdatedError:
                self._cache.drop(each.reference)
                raise
            self._cache.put(live)
            difference = each.difference or "new"
            logger.info("Applied %s", each.reference, extra={"resource": str(key), "difference": difference})
        return []

    async def _write_status(self, key: Key, snapshot: Snapshot, plan: Plan) -> bool:
        """Write what differs; False when this very resource was found to take no status before.

        An API server refuses every write to a resource that was stored under a looser schema when a rule of the
        present one cannot even be evaluated on it (a number where the rule reads a string). Then the event is all
        that can be said, and is said once for each version of the resource, and at each thorough look.
        """
        if dict(plan.status) == dict(status_of(snapshot.body)):
            return True
        version = snapshot.body["metadata"]["resourceVersion"]
        if self._without_status.get(key) == version:
            return False
        try:
            written = await self._api.write_status(snapshot.body, plan.status)
        except OutdatedError:
            self._cache.drop(Reference(key.kind, key.namespace, key.name))
            raise
        except KubernetesInvalidError as error:
            self._without_status[key] = version
            logger.warning("The API server takes no status: %s", error, extra={"resource": str(key)})
            return True
        self._own_versions[key] = written["metadata"]["resourceVersion"]
        self._cache.put(written)
        return True


def _without_secrets(numbers: Numbers, secrets: Mapping[str, SecretData]) -> Numbers:
    """*numbers*, with the secrets hidden in what destinations said."""
    if not numbers.open_circuits:
        return numbers
    hidden = tuple((name, without_secrets(error, secrets)) for name, error in numbers.open_circuits)
    return replace(numbers, open_circuits=hidden)


def _parsed(body: Mapping[str, Any]) -> Resource | None:
    try:
        return parse(MODELS[body["kind"]], body)
    except InvalidResourceError:
        return None


def _desired(resource: Resource, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The desired children, to look for; the plan says it when there can be none."""
    try:
        return desired_children(resource, inputs)
    except InvalidResourceError:
        return ()
