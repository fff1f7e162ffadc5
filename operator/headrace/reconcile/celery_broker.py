"""Asks a Celery broker that is not Valkey whether it answers, and how much waits where it says so. Only reads."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import amqp
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, NotFound

from headrace.api.celery_broker import SQS, RabbitMQ
from headrace.api.resource import Resource
from headrace.api.tls import BadCertificateError, plain, tls_context, tls_problem
from headrace.api.valkey_worker import ValkeyWorker
from headrace.reconcile.address import seen_from_operator
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.snapshot import Numbers
from headrace.reconcile.verdicts import BrokerAuthenticationFailedError, BrokerUnreachableError

_SECONDS = 5.0


def broker_address(resource: Resource) -> str:
    """Where the operator finds the broker; empty when the resource has none beside Valkey."""
    broker = resource.broker if isinstance(resource, ValkeyWorker) else None
    if broker and broker.rabbitmq:
        return seen_from_operator(broker.rabbitmq.url, resource.metadata.namespace)
    if broker and broker.sqs:
        named = broker.sqs.endpoint_url or f"https://sqs.{broker.sqs.region}.amazonaws.com"
        return seen_from_operator(named, resource.metadata.namespace)
    return ""


async def ask_celery_broker(
    resource: Resource, credentials: Credentials, session: aiohttp.ClientSession
) -> Numbers | None:
    """What RabbitMQ counts; nothing of SQS, whose credentials may be the pods' own, but whether it answers.

    None when the resource has no broker beside Valkey. Raises BrokerUnreachableError, BrokerAuthenticationFailedError.
    """
    if not isinstance(resource, ValkeyWorker):
        return None
    broker, address = resource.broker, broker_address(resource)
    if broker.rabbitmq:
        queues = [queue.name for queue in resource.celery.queues]
        return await asyncio.to_thread(_count, broker.rabbitmq, address, queues, credentials)
    if broker.sqs:
        await _reach(broker.sqs, address, session)
    return None


def _count(rabbitmq: RabbitMQ, address: str, queues: Sequence[str], credentials: Credentials) -> Numbers:
    """Tasks that wait, over a connection for this once."""
    where, named = urlsplit(address), urlsplit(rabbitmq.url)
    tls = where.scheme == "amqps"
    host = f"{where.hostname}:{where.port or (5671 if tls else 5672)}"
    place = f"RabbitMQ at {named.netloc}"
    try:
        tls_context(credentials.rabbitmq_ca)
    except BadCertificateError as error:
        raise BrokerUnreachableError(f"{place} is not asked: {error}; see broker.rabbitmq.tls.caSecretRef") from None
    connection = amqp.Connection(
        host=host,
        userid=credentials.rabbitmq_username or "guest",
        password=credentials.rabbitmq_password or "guest",
        virtual_host=rabbitmq.virtual_host,
        ssl=_tls(credentials.rabbitmq_ca, str(named.hostname)) if tls else False,
        connect_timeout=_SECONDS,
        read_timeout=_SECONDS,
        write_timeout=_SECONDS,
        client_properties={"connection_name": "headrace-operator"},
    )
    try:
        connection.connect()
        counts = tuple((queue, _look(connection, queue)) for queue in queues)
        return Numbers(backlog=sum(waiting for _, waiting in counts), queues=counts)
    except (AccessRefused, NotAllowed) as error:
        raise BrokerAuthenticationFailedError(f"{place} refused the credentials: {error}") from None
    except (AMQPError, OSError) as error:
        reason = tls_problem(error) or error or type(error).__name__
        raise BrokerUnreachableError(f"{place} does not answer: {reason}") from None
    finally:
        # where the handshake failed there is no TLS to end, which amqp does not expect
        with suppress(AttributeError):
            connection.collect()


def _look(connection: Any, queue: str) -> int:
    """What waits in a queue; one that no worker has made yet is empty."""
    try:
        return int(connection.channel().queue_declare(queue, passive=True).message_count)
    except NotFound:  # which closes the channel
        return 0


def _tls(certificate: str | None, server_name: str) -> dict[str, Any]:
    """How the certificate is checked: for the name in the resource, whatever name the operator calls."""
    return {
        "context": {"cadata": certificate and plain(certificate), "check_hostname": True},
        "server_hostname": server_name,
    }


async def _reach(sqs: SQS, address: str, session: aiohttp.ClientSession) -> None:
    """Raises BrokerUnreachableError; any answer will do: only a signed request would get a good one."""
    try:
        async with asyncio.timeout(_SECONDS * 2), session.get(address):
            return
    except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
        place = urlsplit(sqs.endpoint_url).netloc if sqs.endpoint_url else sqs.region
        reason = tls_problem(error) or error or type(error).__name__
        raise BrokerUnreachableError(f"SQS at {place} does not answer: {reason}") from None
