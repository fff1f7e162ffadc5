"""Refuses a node of a Valkey Cluster at each new connection, before any command of ours."""

from __future__ import annotations

from typing import Any

from valkey.exceptions import ResponseError, ValkeyError

from headrace.api.valkey_cluster import EXPLANATION, is_cluster


class ClusterUnsupportedError(ValkeyError):
    """The server is a node of a Valkey Cluster."""


def refuse_cluster(connection: Any) -> None:
    """For valkey-py's `valkey_connect_func`. Raises :class:`ClusterUnsupportedError`."""
    set_up(connection, ResponseError, ClusterUnsupportedError)


def set_up(connection: Any, refusal: type[Exception], error: type[Exception]) -> None:
    """Set up a new connection of valkey-py or redis-py; raise *error* when the server is a node of a cluster.

    *refusal*: what the library raises when the server answers with an error. The server is also asked when the library
    itself could not set the connection up, for a cluster has no database but 0.
    """
    try:
        connection.on_connect()
    except refusal:
        _ask(connection, refusal, error)
        raise
    _ask(connection, refusal, error)


def _ask(connection: Any, refusal: type[Exception], error: type[Exception]) -> None:
    connection.send_command("HELLO", check_health=False)
    try:
        answer = connection.read_response()
    except refusal:  # a proxy may not know it, and before a login nothing is told
        return
    if is_cluster(answer):
        place = getattr(connection, "path", None) or f"{connection.host}:{connection.port}"
        raise error(f"{place} {EXPLANATION}.")
