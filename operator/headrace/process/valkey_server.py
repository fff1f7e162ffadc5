"""Connections to the resource's Valkey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import valkey
from valkey.exceptions import ValkeyError

from headrace.api.connection import ValkeyConnection
from headrace.process.configuration import Secrets
from headrace.process.permission import Client
from headrace.process.valkey_cluster import refuse_cluster

SOCKET_TIMEOUT_SECONDS = 10.0
"""No command of ours blocks for longer; a half-open connection shows after this."""

VALKEY_TROUBLE: tuple[type[Exception], ...] = (ValkeyError, OSError)
"""What a Valkey raises that is away, loading, full, failing over, or refuses us: time or a person mends it."""


@dataclass(frozen=True)
class ValkeyServer:
    """Where Valkey is and how to log in. ``repr`` shows no password."""

    host: str
    port: int
    database: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @classmethod
    def of(cls, connection: ValkeyConnection, secrets: Secrets) -> ValkeyServer:
        """From the resource and its mounted secrets; raise ``FatalConfigurationError`` when one is missing."""
        parts = urlsplit(connection.url)
        return cls(
            host=parts.hostname or "localhost",
            port=parts.port or 6379,
            database=int(parts.path.strip("/") or 0),
            tls=parts.scheme == "valkeys",
            username=secrets.read_optional("valkey/username") if connection.auth else None,
            password=secrets.read("valkey/password") if connection.auth else None,
            ca_file=str(secrets.certificate("valkey-ca/ca.crt")) if connection.tls else None,
        )

    def client(self) -> valkey.Valkey:
        """A client that connects when it is first used. It must not be shared across a fork."""
        tls: Any = (
            {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": self.ca_file} if self.tls else {}
        )
        return Client(
            host=self.host,
            port=self.port,
            db=self.database,
            username=self.username,
            password=self.password,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=5.0,
            socket_keepalive=True,
            health_check_interval=25,
            client_name="headrace",
            valkey_connect_func=refuse_cluster,
            ssl=self.tls,
            **tls,
        )

    def celery_url(self, database: int | None = None) -> str:
        """The URL for Celery, of broker or results. It holds the password: never log it."""
        login = ""
        if self.password is not None:
            login = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        number = self.database if database is None else database
        return f"{'valkeys' if self.tls else 'valkey'}://{login}{host}:{self.port}/{number}"
