"""W3C's trace context as it passes through bridges and workers."""

from __future__ import annotations

TRACE = ("traceparent", "tracestate")
"""The same names in Pulsar's properties, a stream's fields, Celery's headers and a CloudEvent's attributes."""
