"""Celery's settings for a ValkeyWorker: those that lose messages by default are fixed to safe values. Pure."""

from __future__ import annotations

import ssl
from typing import Any

from headrace.api.valkey_worker import ValkeyWorker
from headrace.process.valkey_server import ValkeyServer

SHUTDOWN_MARGIN_SECONDS = 5
"""Kept of the pod's grace period to give unfinished tasks back."""
RESTORE_SECONDS = 10


def key_prefix(worker: ValkeyWorker) -> str:
    """Our own Valkey keys begin with it; the braces keep them on one shard of a cluster."""
    return f"headrace:{{{worker.metadata.namespace}/{worker.metadata.name}}}"


def drain_seconds(worker: ValkeyWorker) -> int:
    """How long running tasks may go on after SIGTERM."""
    return max(worker.spec.termination_grace_period_seconds - SHUTDOWN_MARGIN_SECONDS, 1)


def settings(worker: ValkeyWorker, server: ValkeyServer) -> dict[str, Any]:
    """The settings; they hold the password in URLs, as Celery wants it. Never log them."""
    celery, prefix = worker.celery, key_prefix(worker)
    found: dict[str, Any] = {
        "broker_url": server.redis_url(),
        "broker_read_url": None,
        "broker_write_url": None,
        "broker_transport_options": {
            # Keys of its own: with the shared default, the shortest visibility timeout of all apps on the
            # database would win, and one worker would hand out another's tasks.
            "unacked_key": f"{prefix}:unacked",
            "unacked_index_key": f"{prefix}:unacked_index",
            "unacked_mutex_key": f"{prefix}:unacked_mutex",
            "visibility_timeout": celery.visibility_timeout_seconds,
            "unacked_restore_interval": RESTORE_SECONDS,
            "unacked_restore_throttle": 1,
            # Without a timeout a publish on a half-open connection hangs for ever.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 5,
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": False,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_consumer": "headrace.celery.consumer:Consumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": celery.queues[0].name,
        "task_create_missing_queues": True,
    }
    if server.tls:
        tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": server.ca_file}
        found["broker_use_ssl"] = found["redis_backend_use_ssl"] = tls
    return found | _results(worker, server)


def _results(worker: ValkeyWorker, server: ValkeyServer) -> dict[str, Any]:
    results = worker.celery.results
    if not results.enabled:
        return {"result_backend": "disabled://", "task_ignore_result": True}
    return {
        # by its class, which also works where the distribution's entry points are not installed
        "result_backend": f"headrace.celery.results:Backend+{server.redis_url(results.database)}",
        "result_expires": results.expire_seconds,
        "result_backend_always_retry": True,
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 25,
    }
