"""One projected volume with all that a pod reads at its start: its config, and the Secrets as files."""

from typing import Any

from headrace.api.celery_broker import RABBITMQ_KEYS, SQS_KEYS, Broker
from headrace.api.connection import PulsarConnection, SecretKeyReference, ValkeyConnection
from headrace.api.valkey_worker import ValkeyWorker
from headrace.desired.config_map import CONFIG_FILE
from headrace.desired.workload import Workload, workload_name

MOUNT_PATH = "/etc/headrace"
VOLUME_NAME = "config"

_OWNER_AND_GROUP_READ = 0o440


def build_config_volume(resource: Workload) -> dict[str, Any]:
    """The volume, to be mounted at :data:`MOUNT_PATH`.

    The user's key names end here: inside the pod every credential has a fixed file name. Files rather than variables,
    because an environment shows up in ``kubectl describe``, in crash dumps and in child processes.
    """
    config = {"name": workload_name(resource), "items": [{"key": CONFIG_FILE, "path": CONFIG_FILE}]}
    sources = [{"configMap": config}, *_valkey_sources(resource.spec.valkey)]
    if isinstance(resource, ValkeyWorker):
        sources += _broker_sources(resource.broker)
    pulsar = getattr(resource.spec, "pulsar", None)
    if pulsar is not None:
        sources += _pulsar_sources(pulsar)
    return {"name": VOLUME_NAME, "projected": {"defaultMode": _OWNER_AND_GROUP_READ, "sources": sources}}


def _valkey_sources(valkey: ValkeyConnection) -> list[dict[str, Any]]:
    sources = []
    if valkey.auth:
        secret = valkey.auth.secret_ref.name
        sources.append(_secret_file(secret, "password", "secrets/valkey/password"))
        # Only an ACL user has a name; a source of its own, because `optional` covers a whole source.
        username = _secret_file(secret, "username", "secrets/valkey/username")
        username["secret"]["optional"] = True
        sources.append(username)
    if valkey.tls:
        sources.append(_referenced(valkey.tls.ca_secret_ref, "secrets/valkey-ca/ca.crt"))
    return sources


def _broker_sources(broker: Broker) -> list[dict[str, Any]]:
    sources = []
    if broker.rabbitmq and broker.rabbitmq.auth:
        secret = broker.rabbitmq.auth.secret_ref.name
        sources += [_secret_file(secret, key, f"secrets/rabbitmq/{key}") for key in RABBITMQ_KEYS]
    if broker.rabbitmq and broker.rabbitmq.tls:
        sources.append(_referenced(broker.rabbitmq.tls.ca_secret_ref, "secrets/rabbitmq-ca/ca.crt"))
    if broker.sqs and broker.sqs.auth:
        secret = broker.sqs.auth.secret_ref.name
        sources += [_secret_file(secret, key, f"secrets/sqs/{key}") for key in SQS_KEYS]
    return sources


def _pulsar_sources(pulsar: PulsarConnection) -> list[dict[str, Any]]:
    sources = []
    if pulsar.auth:
        sources.append(_referenced(pulsar.auth.token_secret_ref, "secrets/pulsar/token"))
    if pulsar.tls:
        sources.append(_referenced(pulsar.tls.ca_secret_ref, "secrets/pulsar-ca/ca.crt"))
    return sources


def _referenced(reference: SecretKeyReference, path: str) -> dict[str, Any]:
    return _secret_file(reference.name, reference.key, path)


def _secret_file(secret: str, key: str, path: str) -> dict[str, Any]:
    return {"secret": {"name": secret, "items": [{"key": key, "path": path}]}}
