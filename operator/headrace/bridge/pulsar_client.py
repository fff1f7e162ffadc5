"""The Pulsar client: made from the resource."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from headrace.api.connection import PulsarConnection
from headrace.bridge.client_log import client_log
from headrace.bridge.message import Message
from headrace.bridge.pulsar_library import Client, PulsarError, core, library
from headrace.process.configuration import FatalConfigurationError, Secrets
from headrace.process.letter_properties import CUT

BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
"""Where distributions keep the CAs they trust: Debian and Alpine, Red Hat, SUSE, BSD."""


def connect(connection: PulsarConnection, secrets: Secrets) -> Client:
    """A client that connects when it is first used; raise ``FatalConfigurationError`` when a secret file is missing.

    Never call it before a fork: the client's threads do not survive one.
    """
    options: dict[str, Any] = {}
    if connection.auth:
        options["authentication"] = library.AuthenticationToken(secrets.read("pulsar/token"))
    if connection.service_url.startswith("pulsar+ssl://"):
        options["tls_validate_hostname"] = True
        given = secrets.certificate("pulsar-ca/ca.crt") if connection.tls else None
        options["tls_trust_certs_file_path"] = str(given or _system_authorities())
    try:
        client: Client = library.Client(
            connection.service_url.rstrip("/"),
            operation_timeout_seconds=connection.operation_timeout_seconds,
            connection_timeout_ms=connection.connection_timeout_seconds * 1000,
            logger=library.FileLogger(core.LoggerLevel.Info, client_log().path),
            **options,
        )
    except (PulsarError, RuntimeError, ValueError) as error:
        raise FatalConfigurationError(f"pulsar.serviceUrl: {connection.service_url} is refused: {error}.") from None
    return client


def _system_authorities() -> Path:
    """The system's CAs, for the library looks for none by itself; raise ``FatalConfigurationError`` without any."""
    found = ssl.get_default_verify_paths().cafile
    for path in (*([Path(found)] if found else []), *BUNDLES):
        if path.is_file():
            return path
    raise FatalConfigurationError("the image has no CA certificates: name your own under pulsar.tls.caSecretRef.")


def partitions(client: Client, topic: str) -> int:
    """How many partitions *topic* has; 0 for a topic without any."""
    names = client.get_topic_partitions(topic)
    return 0 if list(names) == [topic] else len(names)


def build(message: Message, sequence_id: int, mark: str | None, *, keeps_cut: bool = False) -> Any:
    """A message as the C++ side knows it: `Producer.send_async` would check and copy each part again.

    *mark*: its property ``HEADRACE_CUT``, if it has one. *keeps_cut*: it keeps that of an earlier journey instead.
    """
    builder = core.MessageBuilder().content(message.payload).sequence_id(sequence_id)
    if message.properties:
        for name, value in message.properties.items():
            if name != CUT or keeps_cut:  # of an earlier journey; the core would keep both
                builder.property(name, value)
    if mark:
        builder.property(CUT, mark)
    if message.key:
        builder.partition_key(message.key)
    if message.event_time:
        builder.event_timestamp(message.event_time)
    if message.deliver_at:
        builder.deliver_at(message.deliver_at)
    return builder.build()
