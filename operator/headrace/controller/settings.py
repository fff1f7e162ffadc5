"""The operator's settings: environment variables, each with its meaning."""

import os
import platform
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.process import connection_retry
from headrace.process.connection_retry import ConnectionRetry

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class BadSettingError(Exception):
    """A variable whose value cannot be used."""


@dataclass(frozen=True)
class Settings:
    """How this operator runs."""

    namespaces: tuple[str, ...] = ()
    """HEADRACE_NAMESPACES: the namespaces to serve, separated by commas. Empty: all of them."""
    worker_image: str = "headrace-worker"
    """HEADRACE_WORKER_IMAGE: image of workers and bridges that name none."""
    lease_namespace: str = "default"
    """HEADRACE_LEASE_NAMESPACE: where the Lease lies. The operator's own namespace in a cluster, else `default`."""
    lease_name: str = "headrace-operator"
    """HEADRACE_LEASE_NAME: operators that share it elect one leader."""
    identity: str = ""
    """Who this process is in the Lease: host name and a random part."""
    http_host: str = ""
    """HEADRACE_HTTP_HOST: address of probes and metrics. Empty: all addresses."""
    http_port: int = 8080
    """HEADRACE_HTTP_PORT: port of probes and metrics; 0 takes a free one and logs it."""
    concurrency: int = 10
    """HEADRACE_CONCURRENCY: passes at once."""
    resync_seconds: float = 300.0
    """HEADRACE_RESYNC_SECONDS: every resource is looked at again after this long, give or take a fifth."""
    live_seconds: float = 30.0
    """HEADRACE_LIVE_SECONDS: live numbers in status and metrics are at most this old."""
    log_level: str = "INFO"
    """HEADRACE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""
    retry: ConnectionRetry = field(default_factory=ConnectionRetry)
    """VAPI_RETRY_*: when a pass that failed is tried again."""

    def watches(self, namespace: str) -> bool:
        """Whether resources of *namespace* are served."""
        return not self.namespaces or namespace in self.namespaces


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises BadSettingError, naming the variable."""
    namespaces = environment.get("HEADRACE_NAMESPACES", "")
    own = _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else Settings.lease_namespace
    return Settings(
        namespaces=tuple(dict.fromkeys(part.strip() for part in namespaces.split(",") if part.strip())),
        worker_image=environment.get("HEADRACE_WORKER_IMAGE") or Settings.worker_image,
        lease_namespace=environment.get("HEADRACE_LEASE_NAMESPACE") or own,
        lease_name=environment.get("HEADRACE_LEASE_NAME") or Settings.lease_name,
        identity=f"{platform.node()}_{uuid.uuid4().hex[:8]}",
        http_host=environment.get("HEADRACE_HTTP_HOST", ""),
        http_port=int(_number(environment, "HEADRACE_HTTP_PORT", Settings.http_port, 0)),
        concurrency=int(_number(environment, "HEADRACE_CONCURRENCY", Settings.concurrency, 1)),
        resync_seconds=_number(environment, "HEADRACE_RESYNC_SECONDS", Settings.resync_seconds, 1),
        live_seconds=_number(environment, "HEADRACE_LIVE_SECONDS", Settings.live_seconds, 0.1),
        log_level=_level(environment.get("HEADRACE_LOG_LEVEL") or Settings.log_level),
        retry=_retry(environment),
    )


def _number(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        raise BadSettingError(f"{name} must be a number, not {text!r}") from None
    if not least <= value < float("inf"):
        raise BadSettingError(f"{name} must be at least {least}, not {text}")
    return value


def _retry(environment: Mapping[str, str]) -> ConnectionRetry:
    try:
        return connection_retry.from_environment(environment)
    except connection_retry.BadConnectionRetryError as error:
        raise BadSettingError(str(error)) from None


def _level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise BadSettingError(f"HEADRACE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {text!r}")
    return text.upper()
