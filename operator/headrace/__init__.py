"""Headrace: a Kubernetes operator for Celery on Valkey, Apache Pulsar, and the way between them."""

__version__ = "0.1.0"
