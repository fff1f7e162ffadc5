"""Celery's settings for a ValkeyWorker: those that lose messages by default are fixed to safe values. Pure."""

from __future__ import annotations

from typing import Any

from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.brokers import Access, broker_settings, valkey_tls
from headrace.process.valkey_server import ValkeyServer


def settings(worker: ValkeyWorker, server: ValkeyServer, access: Access) -> dict[str, Any]:
    """The settings; they hold the password in URLs, as Celery wants it. Never log them."""
    celery = worker.celery
    found: dict[str, Any] = {
        "broker_read_url": None,
        "broker_write_url": None,
        "broker_transport": None,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 5,
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": False,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": celery.prefetch_multiplier,
        "worker_consumer": "headrace.celery.consumer:Consumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": celery.queues[0].name,
        "task_create_missing_queues": True,
    }
    return found | broker_settings(worker, server, access) | _results(worker, server)


def _results(worker: ValkeyWorker, server: ValkeyServer) -> dict[str, Any]:
    results = worker.celery.results
    if not results.enabled:
        return {"result_backend": "disabled://", "task_ignore_result": True}
    found: dict[str, Any] = {
        # by its class, which also works where the distribution's entry points are not installed
        "result_backend": f"headrace.celery.results:Backend+{server.celery_url(results.database)}",
        "result_expires": results.expire_seconds,
        "result_backend_always_retry": True,
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 25,
    }
    if server.tls:
        found["redis_backend_use_ssl"] = valkey_tls(server)
    return found
