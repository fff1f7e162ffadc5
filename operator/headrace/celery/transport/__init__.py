# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
"""kombu's transport for ``valkey://``: it loses nothing when a worker dies. See ``docs/celery-transport.md``."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as kombu_redis

from headrace.celery.transport.channel import Channel
from headrace.celery.transport.poller import Poller
from headrace.celery.transport.sentinel import SentinelChannel


class Transport(kombu_redis.Transport):
    """For one server: ``valkey://host:6379/0``."""

    Channel = Channel
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Be part of kombu's event loop."""
        options = connection.client.transport_options
        health = options.get("health_check_interval") or kombu_redis.DEFAULT_HEALTH_CHECK_INTERVAL
        reauthentication = options.get("reauth_check_interval") or kombu_redis.DEFAULT_REAUTH_CHECK_INTERVAL
        self.cycle.join(loop, health, reauthentication)


class TlsChannel(Channel):
    """With TLS though no option says so."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        client = self.connection.client
        client.ssl = client.ssl or {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return parameters


class TlsTransport(Transport):
    """For one server with TLS: ``valkeys://host:6379/0``."""

    Channel = TlsChannel


class SentinelTransport(Transport):
    """For the primary that Sentinel names: ``valkey-sentinel://host:26379;valkey-sentinel://other:26379``."""

    default_port = 26379  # type: ignore[assignment]
    Channel = SentinelChannel
