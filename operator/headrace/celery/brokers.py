"""Celery's settings for each broker. Pure; what :func:`access_of` reads are mounted secrets."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from headrace.api.celery_broker import SQS_KEYS, BrokerType
from headrace.api.valkey_worker import ValkeyWorker
from headrace.process.configuration import Secrets
from headrace.process.valkey_server import ValkeyServer

SQS_WAIT_SECONDS = 10
"""How long one request waits for a message; SQS bills by request."""

SIDES: Mapping[BrokerType, str] = {
    BrokerType.VALKEY: "valkey",
    BrokerType.RABBITMQ: "rabbitmq",
    BrokerType.SQS: "sqs",
    BrokerType.MEMORY: "memory",
}
"""What the probes and the logs call each broker."""


@dataclass(frozen=True)
class Access:
    """How to log in to a broker that is not Valkey. ``repr`` shows no password."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def access_of(worker: ValkeyWorker, secrets: Secrets) -> Access:
    """From the mounted secrets; raise ``FatalConfigurationError`` when one is missing."""
    broker = worker.broker
    if broker.rabbitmq:
        auth, tls = broker.rabbitmq.auth, broker.rabbitmq.tls
        return Access(
            username=secrets.read("rabbitmq/username") if auth else "guest",
            password=secrets.read("rabbitmq/password") if auth else "guest",
            ca_file=str(secrets.certificate("rabbitmq-ca/ca.crt")) if tls else None,
        )
    if broker.sqs and broker.sqs.auth:
        return Access(*(secrets.read(f"sqs/{key}") for key in SQS_KEYS))
    return Access()


def broker_settings(worker: ValkeyWorker, server: ValkeyServer, access: Access) -> dict[str, Any]:
    """What differs from broker to broker. It holds passwords: never log it."""
    kind = worker.broker.type
    if kind is BrokerType.VALKEY:
        return _valkey(worker, server)
    return _OTHERS[kind](worker, access)


def _valkey(worker: ValkeyWorker, server: ValkeyServer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "broker_url": server.celery_url(),
        "broker_transport_options": {
            "key_prefix": worker.key_prefix,
            # Without a timeout a publish on a half-open connection hangs for ever.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
    }
    if server.tls:
        found["broker_use_ssl"] = valkey_tls(server)
    return found


def valkey_tls(server: ValkeyServer) -> dict[str, Any]:
    """How redis-py checks the certificate of *server*."""
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": server.ca_file}


def _rabbitmq(worker: ValkeyWorker, access: Access) -> dict[str, Any]:
    broker = worker.broker.rabbitmq
    assert broker is not None
    where = urlsplit(broker.url)
    host = f"[{where.hostname}]" if ":" in str(where.hostname) else where.hostname
    tls = where.scheme == "amqps"
    port = where.port or (5671 if tls else 5672)
    login = f"{quote(str(access.username), safe='')}:{quote(str(access.password), safe='')}"
    found: dict[str, Any] = {
        "broker_url": f"amqp://{login}@{host}:{port}/{quote(broker.virtual_host, safe='')}",
        "broker_transport_options": {
            # Off by default, and then a message that RabbitMQ did not store is lost without a word.
            "confirm_publish": True,
            # Without a timeout a publish on a half-open connection hangs for ever.
            "read_timeout": 30,
            "write_timeout": 30,
        },
        "broker_heartbeat": 30,
        # Quorum queues keep what they confirmed when a node goes; they take no ETA in the worker, so a task that is
        # to wait does so in RabbitMQ, which needs topic exchanges.
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "task_create_missing_queue_type": "quorum",
        "task_create_missing_queue_exchange_type": "topic",
    }
    if tls:
        found["broker_use_ssl"] = {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": access.ca_file,
            "server_hostname": where.hostname,
        }
    return found


def _sqs(worker: ValkeyWorker, access: Access) -> dict[str, Any]:
    broker = worker.broker.sqs
    assert broker is not None
    where = urlsplit(broker.endpoint_url or "")
    login = f"{quote(access.username, safe='')}:{quote(str(access.password), safe='')}@" if access.username else ""
    return {
        "broker_url": f"sqs://{login}{where.netloc}",
        "broker_transport": "headrace.celery.sqs:Transport",
        "broker_transport_options": {
            "region": broker.region,
            "is_secure": where.scheme != "http",
            "queue_name_prefix": broker.queue_name_prefix,
            "visibility_timeout": broker.visibility_timeout_seconds,
            "wait_time_seconds": SQS_WAIT_SECONDS,
            "polling_interval": 0,
            "client-config": {"connect_timeout": 5, "read_timeout": SQS_WAIT_SECONDS + 10},
        },
        # Each would need a queue of its own for every pod.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
    }


def _memory(worker: ValkeyWorker, access: Access) -> dict[str, Any]:
    return {"broker_url": "memory://", "broker_transport_options": {"polling_interval": 0.05}}


_OTHERS: Mapping[BrokerType, Callable[[ValkeyWorker, Access], dict[str, Any]]] = {
    BrokerType.RABBITMQ: _rabbitmq,
    BrokerType.SQS: _sqs,
    BrokerType.MEMORY: _memory,
}
