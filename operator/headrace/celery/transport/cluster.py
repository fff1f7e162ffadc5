"""Refuses a node of a Valkey Cluster at each new connection of kombu's or of Celery's results."""

from __future__ import annotations

from typing import Any

from redis import exceptions

from headrace.process.valkey_cluster import set_up


class ClusterUnsupportedError(exceptions.ConnectionError):
    """The server is a node of a Valkey Cluster. To Celery it is as a broker that is away: the worker tries again."""


def refuse_cluster(connection: Any) -> None:
    """For redis-py's `redis_connect_func`. Raises :class:`ClusterUnsupportedError`."""
    set_up(connection, exceptions.ResponseError, ClusterUnsupportedError)
