"""Celery on Valkey: a transport that loses nothing, safe settings, retries, the outbox, dead letters, probes, metrics.

Importing this package makes Celery and kombu know ``valkey://``; see ``docs/celery-transport.md``.
"""

from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES.update(
    {
        "valkey": "headrace.celery.transport:Transport",
        "valkeys": "headrace.celery.transport:TlsTransport",
        "valkey-sentinel": "headrace.celery.transport:SentinelTransport",
    }
)
