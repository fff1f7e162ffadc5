"""Celery on Valkey: safe settings, retries, the outbox, dead letters, probes and metrics. See ``docs/dataplane.md``."""
