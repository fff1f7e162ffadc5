# mypy: disallow-untyped-calls=False
"""Celery's results in Valkey: ``valkey://``, ``valkeys://`` (TLS) and ``valkey-sentinel://``.

The keys, the pub/sub channels and all settings are those of Celery's Redis backend, so both may read and write the same
results. A state is stored in one round trip instead of two, and two workers that run one task cannot overwrite a
success: the check and the write are one script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import states
from celery.backends import redis as celery_redis
from celery.exceptions import BackendStoreError
from kombu.utils.encoding import bytes_to_str
from kombu.utils.objects import cached_property

from headrace.celery.transport.cluster import refuse_cluster
from headrace.process.lua import script_text

_SCHEMES = {"valkey": "redis", "valkeys": "rediss", "valkey-sentinel": "sentinel"}
_STORE = script_text("preflight", "store_state", folders=(Path(__file__).parent,))


class _States:
    """How a state is stored; goes before a class of Celery's."""

    def _store_result(
        self: Any, task_id: Any, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = bytes_to_str(task_id)
        body = self.encode(meta)
        if len(body) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("the result is larger than a Valkey value can be", state=state, task_id=task_id)
        seconds = self.failure_expires if state == states.FAILURE else self.expires
        self.ensure(self._store_state, (self.get_key_for_task(task_id), body, seconds))
        return result

    def _store_state(self: Any, key: bytes, body: str | bytes, seconds: int | None) -> None:
        success, begin = self._beginnings
        seen: bytes = b""
        while True:
            present = self._store_script(keys=[key], args=[body, seconds or 0, success, begin, seen])
            if present is None or self.decode(present)["status"] == states.SUCCESS:
                return
            seen = present

    @cached_property
    def _beginnings(self: Any) -> tuple[str, str]:
        """How a stored success begins, and any state does; both empty when the serializer makes no such text."""
        text = self.encode({"status": states.SUCCESS})
        if self.compression or not isinstance(text, str) or not text.endswith('"}'):
            return "", ""
        return text[:-1], text[: text.index(states.SUCCESS)]

    @cached_property
    def _store_script(self: Any) -> Any:
        return self.client.register_script(_STORE)


def _as_celery_knows(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{_SCHEMES.get(scheme, scheme)}{mark}{rest}"


class Backend(_States, celery_redis.RedisBackend):
    """``valkey://`` and ``valkeys://``; the latter verifies the server unless the URL says ``ssl_cert_reqs``."""

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> Any:
        found = super()._params_from_url(_as_celery_knows(url), defaults)
        if url.startswith("valkeys://"):
            found.setdefault("ssl_cert_reqs", "required")
        return {**found, "redis_connect_func": refuse_cluster}


class SentinelBackend(_States, celery_redis.SentinelBackend):
    """``valkey-sentinel://host:26379;valkey-sentinel://other:26379/1``, with ``master_name`` among the options."""

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> Any:
        hosts = url.split(self._SERVER_URI_SEPARATOR)
        known = self._SERVER_URI_SEPARATOR.join(map(_as_celery_knows, hosts))
        return {**super()._params_from_url(known, defaults), "redis_connect_func": refuse_cluster}
