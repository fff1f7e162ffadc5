"""Asks Valkey how much waits, and what it says of itself. Only reads."""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from valkey.asyncio import Connection, Valkey
from valkey.asyncio.connection import ConnectionPool
from valkey.exceptions import AuthenticationError, NoPermissionError, ResponseError, ValkeyError
from valkey.exceptions import ConnectionError as ValkeyConnectionError

from headrace.api import task_count
from headrace.api.bridge_source import ValkeySource
from headrace.api.celery_broker import BrokerType
from headrace.api.connection import ValkeyConnection
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import Resource
from headrace.api.tls import BadCertificateError, tls_context, tls_problem
from headrace.api.valkey_cluster import EXPLANATION, is_cluster, speaks_of_cluster
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode
from headrace.reconcile import mode_numbers
from headrace.reconcile.address import seen_from_operator
from headrace.reconcile.limits import limits
from headrace.reconcile.limits import questions as limit_questions
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.snapshot import Numbers
from headrace.reconcile.valkey_facts import ValkeyFacts, facts_of
from headrace.reconcile.verdicts import (
    ClusterUnsupportedError,
    ValkeyAuthenticationFailedError,
    ValkeyUnreachableError,
)

_SECONDS = 5.0
_PORT = 6379

_Question = tuple[str, ...]
"""A command that only reads, and its arguments."""


async def ask_valkey(resource: Resource, credentials: Credentials) -> Numbers:
    """The live numbers of a worker or a bridge.

    Raises ValkeyUnreachableError, ValkeyAuthenticationFailedError, ClusterUnsupportedError. A key of an
    unexpected type counts as unknown.
    """
    if isinstance(resource, ValkeyWorker):
        return await _worker_numbers(resource, credentials)
    if isinstance(resource, PulsarBridge):
        return await _bridge_numbers(resource, credentials)
    return Numbers()


def _own_key(resource: Resource, what: str) -> str:
    return f"{resource.key_prefix}:{what}"


async def _worker_numbers(worker: ValkeyWorker, credentials: Credentials) -> Numbers:
    spec = worker.spec
    if spec.mode is not Mode.CELERY:
        asked = mode_numbers.questions(worker, time.time())
        answers, facts = await _ask(worker, credentials, asked)
        return replace(mode_numbers.numbers(worker, answers), valkey=facts)
    on_valkey = worker.broker.type is BrokerType.VALKEY
    queues = [queue.name for queue in worker.celery.queues] if on_valkey else []
    counted = task_count.questions(worker.key_prefix, queues)
    lists: list[_Question] = [("LLEN", each.key) for each in (spec.outbox, spec.dead_letter) if each]
    found, facts = await _ask(worker, credentials, [*counted, *lists])
    answers = [_number(answer) for answer in found]
    waiting = task_count.waiting(queues, answers)
    rest = answers[len(counted) - 1 :]
    return Numbers(
        backlog=sum(waiting.values()) if on_valkey else None,
        in_flight=rest[0] if on_valkey else None,
        outbox=rest[1] if spec.outbox else None,
        dead_letters=rest[-1] if spec.dead_letter else None,
        queues=tuple(waiting.items()),
        valkey=facts,
    )


async def _bridge_numbers(bridge: PulsarBridge, credentials: Credentials) -> Numbers:
    source, replay = bridge.spec.source.valkey, bridge.spec.replay
    questions: list[_Question] = [("HGETALL", _own_key(bridge, f"replay:{replay.id}"))] if replay else []
    waits: list[_Question] = []
    if source is not None:
        shards = range(source.shards)
        waits = [_waits(bridge, source), *(_waits(bridge, source.shard(number)) for number in shards)]
        flies = [_own_key(bridge, "cut"), *(_own_key(bridge, f"shard-{number}:cut") for number in shards)]
        questions += [*waits, *(("LLEN", key) for key in flies)]
    answers, facts = await _ask(bridge, credentials, [*questions, *limit_questions(bridge, bridge.key_prefix)])
    run = _texts(answers.pop(0)) if replay else None
    number = len(waits)
    group = source.stream.group if source and source.stream else ""
    waiting = [_lag(answer, group) if isinstance(answer, list) else answer for answer in answers[:number]]
    return Numbers(
        backlog=_sum(waiting),
        in_flight=_sum(answers[number : 2 * number]),
        replay=run,
        valkey=facts,
        **limits(bridge, answers[2 * number :]),
    )


def _waits(bridge: PulsarBridge, source: ValkeySource) -> _Question:
    """The question how much waits at *source*."""
    if source.stream:
        return "XINFO GROUPS", source.stream.key
    return "LLEN", source.list.key if source.list else _own_key(bridge, "received")


def _sum(answers: Sequence[Any]) -> int | None:
    """The sum of what is known; None when nothing is."""
    known = [answer for answer in answers if isinstance(answer, int)]
    return sum(known) if known else None


def _number(answer: Any) -> int | None:
    return answer if isinstance(answer, int) else None


def _texts(answer: Any) -> dict[str, str] | None:
    """A hash of ours; None when it was none."""
    return {name.decode(): value.decode() for name, value in answer.items()} if isinstance(answer, dict) else None


def _lag(groups: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """What a group of a stream has not read, and what is pending; None when Valkey does not know."""
    lag = mode_numbers.lag(groups, name)
    pending = sum(int(group["pending"]) for group in groups if group["name"] == name.encode())
    return None if lag is None else lag + pending


async def _ask(
    resource: ValkeyWorker | PulsarBridge,
    credentials: Credentials,
    questions: Sequence[_Question],
) -> tuple[list[Any], ValkeyFacts]:
    """One round trip with all questions, after a PING. None for a key that is of another type than asked.

    With what Valkey says of itself, which the user may not be allowed to ask.
    """
    named = urlsplit(resource.spec.valkey.url)
    place = f"Valkey at {named.hostname}:{named.port or _PORT}"
    try:
        client = _client(resource.spec.valkey, resource.metadata.namespace, credentials)
    except BadCertificateError as error:
        raise ValkeyUnreachableError(f"{place} is not asked: {error}; see spec.valkey.tls.caSecretRef") from None
    try:
        async with asyncio.timeout(_SECONDS * 2):
            await client.ping()
            pipeline = client.pipeline(transaction=False)
            for question in (*questions, ("INFO",)):
                pipeline.execute_command(*question)
            *answers, info = await pipeline.execute(raise_on_error=False)
    except _NodeOfClusterError:
        raise ClusterUnsupportedError(f"{place} {EXPLANATION}") from None
    except AuthenticationError as error:
        raise ValkeyAuthenticationFailedError(f"{place} refused the credentials: {error}") from None
    except (ValkeyConnectionError, OSError, TimeoutError) as error:
        raise ValkeyUnreachableError(f"{place} does not answer: {_reason(error)}") from None
    except ValkeyError as error:
        raise _refusal(place, error) from None
    finally:
        await client.aclose()
    for answer in answers:
        if isinstance(answer, NoPermissionError):
            raise ValkeyAuthenticationFailedError(f"{place} does not let this user count: {answer}")
        if isinstance(answer, ResponseError) and speaks_of_cluster(str(answer)):
            raise ClusterUnsupportedError(f"{place} {EXPLANATION}")
    return [None if isinstance(answer, Exception) else answer for answer in answers], facts_of(info)


def _refusal(place: str, error: ValkeyError) -> Exception:
    text = str(error)
    if isinstance(error, NoPermissionError) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return ValkeyAuthenticationFailedError(f"{place} refused the credentials: {text}")
    if isinstance(error, ResponseError):
        return ValkeyUnreachableError(f"{place} cannot serve now: {text}")
    return ValkeyUnreachableError(f"{place} does not answer: {_reason(error)}")


def _reason(error: BaseException) -> str:
    return tls_problem(error) or str(error) or type(error).__name__


class _NodeOfClusterError(ValkeyError):
    """The server is a node of a cluster."""


async def _refuse_cluster(connection: Connection) -> None:
    """Set up a connection; raise :class:`_NodeOfClusterError` when the server is a node of a cluster.

    It is also asked when that fails, for a cluster has no other database than 0.
    """
    try:
        await connection.on_connect()
    except ResponseError:
        if await _is_cluster(connection):
            raise _NodeOfClusterError from None
        raise
    if await _is_cluster(connection):
        raise _NodeOfClusterError


async def _is_cluster(connection: Connection) -> bool:
    try:
        await connection.send_command("HELLO", check_health=False)
        return is_cluster(await connection.read_response())
    except ResponseError:
        return False


class _TlsConnection(Connection):
    """TLS to a server whose certificate is for the name in the resource, not for the one the operator calls."""

    def __init__(self, *, tls: ssl.SSLContext, server_name: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._tls = {"ssl": tls, "server_hostname": server_name}

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), **self._tls}


def _client(connection: ValkeyConnection, namespace: str, credentials: Credentials) -> Valkey:
    where = urlsplit(seen_from_operator(connection.url, namespace))
    options: dict[str, Any] = {
        "host": where.hostname,
        "port": where.port or _PORT,
        "db": int(where.path.strip("/") or 0),
        "username": credentials.valkey_username,
        "password": credentials.valkey_password,
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "valkey_connect_func": _refuse_cluster,
    }
    if where.scheme != "valkeys":
        return Valkey.from_pool(ConnectionPool(connection_class=Connection, **options))
    tls = tls_context(credentials.valkey_ca)
    server_name = urlsplit(connection.url).hostname
    return Valkey.from_pool(
        ConnectionPool(connection_class=_TlsConnection, tls=tls, server_name=server_name, **options)
    )
