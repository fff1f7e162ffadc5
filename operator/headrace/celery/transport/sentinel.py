# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
"""A server that Sentinel names."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import redis as kombu_redis
from kombu.utils.url import url_to_parts
from redis import sentinel

from headrace.celery.transport.channel import Channel

SCHEME = "valkey-sentinel"


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """Finds the primary by the Sentinels in ``valkey-sentinel://host:26379;valkey-sentinel://other:26379``."""

    from_transport_options: tuple[str, ...] = tuple(  # type: ignore[assignment]
        dict.fromkeys((*Channel.from_transport_options, *kombu_redis.SentinelChannel.from_transport_options))
    )
    connection_class = kombu_redis.SentinelChannel.connection_class
    connection_class_ssl = kombu_redis.SentinelChannel.connection_class_ssl

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        name = getattr(self, "master_name", None)
        if name is None:
            raise ValueError("broker_transport_options needs master_name, the name that Sentinel knows the server by.")
        parameters = self._connparams(asynchronous)
        first = parameters.pop("host"), parameters.pop("port")
        urls = [url_to_parts(url) for url in self.connection.client.alt]
        others = [(url.hostname, url.port or self.connection.default_port) for url in urls if url.scheme == SCHEME]
        manager = sentinel.Sentinel(
            others or [first],
            min_other_sentinels=getattr(self, "min_other_sentinels", 0),
            sentinel_kwargs=getattr(self, "sentinel_kwargs", None),
            **parameters,
        )
        if asynchronous:
            self._async_sentinel_manager = manager
        else:
            self._sentinel_manager = manager
        login = {key: parameters[key] for key in ("username", "password") if key in parameters}
        return manager.master_for(name, redis.Redis, **login).connection_pool
