"""How to reach Valkey and Pulsar. Credentials are Secret references; a URL that holds a password is refused."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field
from pydantic.alias_generators import to_snake

from headrace.api.model import ApiModel, Rule

Name = Annotated[str, Field(min_length=1, max_length=253)]
Url = Annotated[str, Field(min_length=1, max_length=512)]

_HOST_AND_PORT = "[^/@:]+(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
VALKEY_URL = f"^valkeys?://{_HOST_AND_PORT}(/[0-9]{{1,4}})?$"
PULSAR_URL = f"^pulsar([+]ssl)?://{_HOST_AND_PORT}(,{_HOST_AND_PORT})*/?$"


def host_and_port_url(scheme: str) -> str:
    """The regular expression of a URL that is nothing but *scheme* (an expression), host and port."""
    return f"^{scheme}://{_HOST_AND_PORT}/?$"


ADMIN_URL = host_and_port_url("https?")


class SecretReference(ApiModel):
    """A Secret in the resource's own namespace."""

    name: Name
    """Name of the Secret."""


class SecretKeyReference(ApiModel):
    """One key of a Secret in the resource's own namespace."""

    name: Name
    """Name of the Secret."""
    key: Name
    """Key inside the Secret."""


class ValkeyAuth(ApiModel):
    """Valkey credentials."""

    secret_ref: SecretReference
    """A Secret with the key `password`, and `username` for an ACL user."""


class ValkeyTls(ApiModel):
    """How the server's certificate is checked."""

    ca_secret_ref: SecretKeyReference
    """The CA certificate (PEM) that signed the server's certificate."""


def no_credentials(url_field: str) -> Rule:
    """The rule that the field *url_field* (its name on the wire) holds no user and no password."""
    return Rule(
        cel=f"!self.{url_field}.contains('@')",
        message="a URL must hold no user and no password: put them in a Secret and name it under auth",
        holds=lambda self: "@" not in getattr(self, to_snake(url_field)),
    )


class ValkeyConnection(ApiModel):
    """Where Valkey is."""

    rules = (
        no_credentials("url"),
        Rule(
            cel=f"self.url.contains('@') || self.url.matches('{VALKEY_URL}')",
            message="url must read valkey://HOST:PORT/DATABASE, or valkeys:// for TLS, such as valkey://valkey:6379/0",
            holds=lambda self: "@" in self.url or bool(re.match(VALKEY_URL, self.url)),
        ),
        Rule(
            cel="!has(self.tls) || self.url.startsWith('valkeys://')",
            message="tls needs a url that begins with valkeys://",
            holds=lambda self: self.tls is None or self.url.startswith("valkeys://"),
        ),
    )

    url: Url
    """`valkey://HOST:PORT/DATABASE`, or `valkeys://` for TLS. Port 6379 and database 0 when left out."""
    auth: ValkeyAuth | None = None
    """Credentials; none when left out."""
    tls: ValkeyTls | None = None
    """Certificate checks for `valkeys://`; the system's CAs when left out."""


class PulsarAuth(ApiModel):
    """Pulsar credentials, for the broker and for the admin API."""

    token_secret_ref: SecretKeyReference
    """A JSON Web Token."""


class PulsarTls(ApiModel):
    """How the broker's certificate is checked."""

    ca_secret_ref: SecretKeyReference
    """The CA certificate (PEM) that signed the broker's certificate."""


class PulsarConnection(ApiModel):
    """Where Pulsar is."""

    rules = (
        no_credentials("serviceUrl"),
        no_credentials("adminUrl"),
        Rule(
            cel=f"self.serviceUrl.contains('@') || self.serviceUrl.matches('{PULSAR_URL}')",
            message="serviceUrl must read pulsar://HOST:PORT or pulsar+ssl://HOST:PORT, such as pulsar://pulsar:6650",
            holds=lambda self: "@" in self.service_url or bool(re.match(PULSAR_URL, self.service_url)),
        ),
        Rule(
            cel=f"self.adminUrl.contains('@') || self.adminUrl.matches('{ADMIN_URL}')",
            message="adminUrl must read http://HOST:PORT or https://HOST:PORT, such as http://pulsar:8080",
            holds=lambda self: "@" in self.admin_url or bool(re.match(ADMIN_URL, self.admin_url)),
        ),
        Rule(
            cel="!has(self.tls) || self.serviceUrl.startsWith('pulsar+ssl://') || self.adminUrl.startsWith('https://')",
            message="tls needs a serviceUrl that begins with pulsar+ssl:// or an adminUrl that begins with https://",
            holds=lambda self: (
                self.tls is None
                or self.service_url.startswith("pulsar+ssl://")
                or self.admin_url.startswith("https://")
            ),
        ),
    )

    service_url: Url
    """The broker: `pulsar://HOST:6650`, or `pulsar+ssl://HOST:6651`; several hosts by commas."""
    admin_url: Url
    """The admin API: `http://HOST:8080`, or `https://HOST:8443`."""
    auth: PulsarAuth | None = None
    """Credentials; none when left out."""
    tls: PulsarTls | None = None
    """Certificate checks for `pulsar+ssl://` and `https://`; the system's CAs when left out."""
    operation_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 15
    """How long the client waits for the broker to open a producer or a subscription, before it tries again.
    Default 15."""
    connection_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    """How long the client waits for a connection. Default 5."""
