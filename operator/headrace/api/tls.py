"""TLS to a broker: the context that checks its certificate, and what a refusal means in words. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import lru_cache


class BadCertificateError(Exception):
    """What should be the PEM certificate of a CA is none."""


@lru_cache(maxsize=64)
def tls_context(certificate: str | None) -> ssl.SSLContext:
    """Trusts the CA *certificate* (PEM) alone, or the system's CAs without one; one context for each, so that
    connections can be reused. The host's name is always checked.

    Raises BadCertificateError.
    """
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=plain(certificate))
    except (ssl.SSLError, ValueError):
        raise BadCertificateError("the CA certificate is not a PEM certificate") from None
    return context


def plain(certificate: str) -> str:
    """*certificate* as Python takes it: bundles have comments, with names in any language."""
    return certificate.encode("ascii", "ignore").decode()


def tls_problem(error: BaseException) -> str | None:
    """What *error*, or what led to it, says of TLS; None when it is of another kind."""
    for cause in _causes(error):
        if not isinstance(cause, ssl.SSLError) or not hasattr(cause, "reason"):  # as what aiohttp makes of it
            continue
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message.rstrip('.')}"
        if cause.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
            return "it speaks no TLS there"
        return f"TLS failed: {(cause.reason or str(cause)).replace('_', ' ').lower()}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
