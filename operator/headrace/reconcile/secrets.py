"""Referenced Secrets: their values for the brokers' clients, and a hash for the pods. Values leave this module only
as credentials."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.api.celery_broker import RABBITMQ_KEYS, SQS_KEYS, Broker
from headrace.api.connection import PulsarConnection, ValkeyConnection
from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.resource import Resource
from headrace.api.valkey_worker import ValkeyWorker
from headrace.reconcile.api_server import ApiServer
from headrace.reconcile.kinds import Reference
from headrace.reconcile.verdicts import SecretNotFoundError

HIDDEN = "***"
_SHORTEST_TO_HIDE = 4


@dataclass(frozen=True)
class SecretNeed:
    """One key of one Secret."""

    name: str
    key: str
    optional: bool = False


@dataclass(frozen=True)
class Credentials:
    """What the operator itself needs to ask the brokers. Never printed."""

    valkey_username: str | None = field(default=None, repr=False)
    valkey_password: str | None = field(default=None, repr=False)
    valkey_ca: str | None = field(default=None, repr=False)
    pulsar_token: str | None = field(default=None, repr=False)
    pulsar_ca: str | None = field(default=None, repr=False)
    rabbitmq_username: str | None = field(default=None, repr=False)
    rabbitmq_password: str | None = field(default=None, repr=False)
    rabbitmq_ca: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SecretData:
    """A Secret's uid and decoded values."""

    uid: str
    values: Mapping[str, bytes] = field(repr=False)


def needs(resource: Resource) -> tuple[SecretNeed, ...]:
    """All Secrets that *resource*'s pods and the operator need. A pipeline needs none: its children do."""
    if isinstance(resource, HybridPipeline):
        return ()
    spec = resource.spec
    found = [*_valkey_needs(getattr(spec, "valkey", None)), *_pulsar_needs(getattr(spec, "pulsar", None))]
    if isinstance(resource, ValkeyWorker):
        found += _broker_needs(resource.broker)
    for variable in spec.pod.env:  # type: ignore[attr-defined]
        if variable.value_from and variable.value_from.secret_key_ref:
            reference = variable.value_from.secret_key_ref
            found.append(SecretNeed(reference.name, reference.key))
    return tuple(dict.fromkeys(found))


def _valkey_needs(connection: ValkeyConnection | None) -> Iterable[SecretNeed]:
    if connection and connection.auth:
        yield SecretNeed(connection.auth.secret_ref.name, "password")
        yield SecretNeed(connection.auth.secret_ref.name, "username", optional=True)
    if connection and connection.tls:
        yield SecretNeed(connection.tls.ca_secret_ref.name, connection.tls.ca_secret_ref.key)


def _pulsar_needs(connection: PulsarConnection | None) -> Iterable[SecretNeed]:
    if connection and connection.auth:
        yield SecretNeed(connection.auth.token_secret_ref.name, connection.auth.token_secret_ref.key)
    if connection and connection.tls:
        yield SecretNeed(connection.tls.ca_secret_ref.name, connection.tls.ca_secret_ref.key)


def _broker_needs(broker: Broker) -> Iterable[SecretNeed]:
    if broker.rabbitmq and broker.rabbitmq.auth:
        yield from (SecretNeed(broker.rabbitmq.auth.secret_ref.name, key) for key in RABBITMQ_KEYS)
    if broker.rabbitmq and broker.rabbitmq.tls:
        yield SecretNeed(broker.rabbitmq.tls.ca_secret_ref.name, broker.rabbitmq.tls.ca_secret_ref.key)
    if broker.sqs and broker.sqs.auth:
        yield from (SecretNeed(broker.sqs.auth.secret_ref.name, key) for key in SQS_KEYS)


class SecretStore:
    """Reads Secrets when they are needed and keeps them until a watch says that they changed."""

    def __init__(self, api: ApiServer, values: set[str]) -> None:
        """*values* takes every value ever read, for the logs to hide."""
        self._api = api
        self._values = values
        self._known: dict[tuple[str, str], SecretData | None] = {}

    def changed(self, namespace: str, name: str) -> None:
        """Forget one Secret."""
        self._known.pop((namespace, name), None)

    async def read(self, namespace: str, names: Iterable[str]) -> dict[str, SecretData]:
        """The Secrets of *names* that exist."""
        found: dict[str, SecretData] = {}
        for name in dict.fromkeys(names):
            place = (namespace, name)
            if place not in self._known:
                body = await self._api.get(Reference("Secret", namespace, name))
                self._known[place] = None if body is None else _decoded(body)
                self._values.update(_plain(self._known[place]))
            data = self._known[place]
            if data is not None:
                found[name] = data
        return found


def _decoded(body: Mapping[str, object]) -> SecretData:
    values: dict[str, bytes] = {}
    data = body.get("data")
    for key, value in (data if isinstance(data, dict) else {}).items():
        try:
            values[key] = base64.b64decode(value or "")
        except (binascii.Error, TypeError):
            values[key] = b""
    metadata = body.get("metadata")
    return SecretData(str(metadata.get("uid")) if isinstance(metadata, dict) else "", values)


def missing(wanted: Iterable[SecretNeed], found: Mapping[str, SecretData]) -> SecretNotFoundError | None:
    """The error for the first Secret or key that is not there."""
    for need in wanted:
        if need.optional and need.name in found:
            continue
        if need.name not in found:
            return SecretNotFoundError(f"Secret {need.name} does not exist: create it with the key {need.key}")
        if need.key not in found[need.name].values:
            return SecretNotFoundError(f"Secret {need.name} has no key {need.key}: add it")
    return None


def hash_of(wanted: Iterable[SecretNeed], found: Mapping[str, SecretData]) -> str:
    """Changes when a needed value does. The Secret's random uid goes in, so that it gives no weak password away."""
    digest = hashlib.sha256()
    for need in sorted(wanted, key=lambda each: (each.name, each.key)):
        secret = found.get(need.name)
        if secret and need.key in secret.values:
            for part in (secret.uid, need.name, need.key):
                digest.update(part.encode() + b"\0")
            digest.update(hashlib.sha256(secret.values[need.key]).digest())
    return digest.hexdigest()


def credentials(resource: Resource, found: Mapping[str, SecretData]) -> Credentials:
    """The values for the operator's own clients; what is missing is None."""

    def text(name: str | None, key: str | None) -> str | None:
        secret = found.get(name or "")
        value = secret.values.get(key or "") if secret else None
        return None if value is None else value.decode(errors="replace").strip()

    valkey: ValkeyConnection | None = getattr(resource.spec, "valkey", None)
    pulsar: PulsarConnection | None = getattr(resource.spec, "pulsar", None)
    valkey_auth = valkey.auth.secret_ref.name if valkey and valkey.auth else None
    valkey_ca = valkey.tls.ca_secret_ref if valkey and valkey.tls else None
    token = pulsar.auth.token_secret_ref if pulsar and pulsar.auth else None
    pulsar_ca = pulsar.tls.ca_secret_ref if pulsar and pulsar.tls else None
    rabbitmq = resource.broker.rabbitmq if isinstance(resource, ValkeyWorker) else None
    rabbitmq_auth = rabbitmq.auth.secret_ref.name if rabbitmq and rabbitmq.auth else None
    rabbitmq_ca = rabbitmq.tls.ca_secret_ref if rabbitmq and rabbitmq.tls else None
    return Credentials(
        valkey_username=text(valkey_auth, "username"),
        valkey_password=text(valkey_auth, "password"),
        valkey_ca=text(valkey_ca.name, valkey_ca.key) if valkey_ca else None,
        pulsar_token=text(token.name, token.key) if token else None,
        pulsar_ca=text(pulsar_ca.name, pulsar_ca.key) if pulsar_ca else None,
        rabbitmq_username=text(rabbitmq_auth, RABBITMQ_KEYS[0]),
        rabbitmq_password=text(rabbitmq_auth, RABBITMQ_KEYS[1]),
        rabbitmq_ca=text(rabbitmq_ca.name, rabbitmq_ca.key) if rabbitmq_ca else None,
    )


def without_secrets(text: str, found: Mapping[str, SecretData]) -> str:
    """*text*, which somebody else wrote, with every known secret value hidden."""
    for secret in found.values():
        for plain in _plain(secret):
            text = text.replace(plain, HIDDEN)
    return text


def _plain(secret: SecretData | None) -> list[str]:
    """The values of a Secret as text, less those too short to be one."""
    texts = [value.decode(errors="replace").strip() for value in secret.values.values()] if secret else []
    return [text for text in texts if len(text) >= _SHORTEST_TO_HIDE]
