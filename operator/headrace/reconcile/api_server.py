"""The Kubernetes API, as plain dictionaries: read, apply, delete; typed errors; every write counted and fenced."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from headrace.api.resource import FIELD_MANAGER
from headrace.reconcile.kinds import KINDS, POD_MONITOR, Kind, Reference
from headrace.reconcile.verdicts import (
    KubernetesInvalidError,
    KubernetesRefusedError,
    KubernetesUnavailableError,
    OutdatedError,
)

Object = dict[str, Any]

_SECONDS = 30.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_PAGE = 500


class AlreadyExistsError(Exception):
    """409 on creation, or on a first apply: an object of this name is there, with other fields than ours."""


class ApiServer:
    """All requests to the API server but kopf's watches.

    *may_write* is asked before each write and raises LeadershipLostError when this process may not write any more.
    *on_write* is told verb and kind of each write sent.
    """

    def __init__(
        self,
        client: ApiClient,
        may_write: Callable[[], None] = lambda: None,
        on_write: Callable[[str, str], None] = lambda verb, kind: None,
    ) -> None:
        self._client = client
        self._may_write = may_write
        self._on_write = on_write

    async def get(self, reference: Reference) -> Object | None:
        """The object as it stands now; None when there is none."""
        kind = KINDS[reference.kind]
        status, body = await self._request("GET", kind.path(reference.namespace, reference.name))
        return None if status == 404 else _complete(kind, _checked(status, body))

    async def list_all(self, kind: Kind, namespace: str | None, selector: str | None = None) -> list[Object]:
        """All objects of *kind*, in pages; empty when the kind is not installed."""
        found: list[Object] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            status, body = await self._request("GET", kind.path(namespace), query=query)
            if status == 404:
                return []
            page = _checked(status, body)
            found += [_complete(kind, item) for item in page.get("items") or ()]
            token = page.get("metadata", {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    async def apply(self, body: Object, *, live_uid: str | None) -> Object:
        """Server-side apply. *live_uid*: of the object known to be there; None when it is to be made.

        Raises AlreadyExistsError when it was to be made and another one is there, OutdatedError when the known one is
        gone.
        """
        kind = KINDS[body["kind"]]
        metadata = body["metadata"]
        query = {"fieldManager": FIELD_MANAGER}
        if live_uid is not None:
            query["force"] = "true"
            body = {**body, "metadata": {**metadata, "uid": live_uid}}
        path = kind.path(metadata["namespace"], metadata["name"])
        status, answer = await self._write("PATCH", "apply", kind, path, query, body, _APPLY)
        if status == 409 and live_uid is None:
            raise AlreadyExistsError(str(Reference.of(body)))
        return _complete(kind, _checked(status, answer))

    async def write_status(self, resource: Mapping[str, Any], status_body: Mapping[str, Any]) -> Object:
        """Make the status be *status_body*, all of it, unless *resource* changed since it was read (OutdatedError).

        By merge patch: server-side apply reads the whole object by the present schema, and fails on a spec that was
        stored under an older, looser one; just such a resource must be told that it is Stalled.
        """
        kind = KINDS[resource["kind"]]
        metadata = resource["metadata"]
        before = resource.get("status")
        gone = dict.fromkeys(set(before) - set(status_body)) if isinstance(before, Mapping) else {}
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": {**gone, **status_body}}
        path = kind.path(metadata["namespace"], metadata["name"], "status")
        query = {"fieldManager": FIELD_MANAGER}
        status, answer = await self._write("PATCH", "patch_status", kind, path, query, body, _MERGE)
        return _complete(kind, _checked(status, answer))

    async def delete(self, reference: Reference, uid: str) -> None:
        """Delete exactly the object with this uid; one that is gone is fine."""
        kind = KINDS[reference.kind]
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        path = kind.path(reference.namespace, reference.name)
        status, answer = await self._write("DELETE", "delete", kind, path, {}, body)
        if status not in (404, 409):
            _checked(status, answer)

    async def create(self, body: Object) -> Object:
        """Create; raises AlreadyExistsError."""
        kind = KINDS[body["kind"]]
        path = kind.path(body["metadata"]["namespace"])
        query = {"fieldManager": FIELD_MANAGER}
        status, answer = await self._write("POST", "create", kind, path, query, body)
        if status == 409:
            raise AlreadyExistsError(body["metadata"].get("name", ""))
        return _complete(kind, _checked(status, answer))

    async def merge(self, reference: Reference, patch: Object) -> Object | None:
        """Merge patch; None when the object is gone."""
        kind = KINDS[reference.kind]
        path = kind.path(reference.namespace, reference.name)
        status, answer = await self._write("PATCH", "patch", kind, path, {}, patch, _MERGE)
        return None if status == 404 else _complete(kind, _checked(status, answer))

    async def replace(self, body: Object) -> Object:
        """Replace, guarded by the body's resourceVersion; raises OutdatedError."""
        kind = KINDS[body["kind"]]
        path = kind.path(body["metadata"]["namespace"], body["metadata"]["name"])
        status, answer = await self._write("PUT", "update", kind, path, {}, body)
        return _complete(kind, _checked(status, answer))

    async def monitoring_installed(self) -> bool:
        """Whether the Prometheus operator's PodMonitor and PrometheusRule are served."""
        status, body = await self._request("GET", f"/apis/{POD_MONITOR.api_version}")
        if status == 404:
            return False
        served = {resource["name"] for resource in _checked(status, body).get("resources", ())}
        return {"podmonitors", "prometheusrules"} <= served

    async def _write(
        self,
        method: str,
        verb: str,
        kind: Kind,
        path: str,
        query: Mapping[str, str],
        body: Object,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        self._may_write()
        if kind.name != "Lease":
            self._on_write(verb, kind.name)
        return await self._request(method, path, query=query, body=body, content_type=content_type)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        if query:
            path = f"{path}?{urlencode(query)}"
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = await self._client.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await self._client.call_api(*request, _request_timeout=_SECONDS)
                content: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubernetesUnavailableError(f"the Kubernetes API does not answer: {type(error).__name__}") from None
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, {"message": content.decode(errors="replace")[:200]}


def _complete(kind: Kind, body: Object) -> Object:
    """Items of a list come without kind and apiVersion."""
    return {"apiVersion": kind.api_version, "kind": kind.name, **body}


def _checked(status: int, body: Any) -> Object:
    """*body* when the request succeeded, else the typed error with the API server's own message."""
    if 200 <= status < 300:
        return dict(body)
    message = str(body.get("message", "")) if isinstance(body, dict) else ""
    message = message or f"HTTP {status}"
    if status in (404, 409, 410):
        raise OutdatedError(message)
    if status == 429 or status >= 500 or status == 401 or "is being terminated" in message:
        raise KubernetesUnavailableError(message)
    if status == 422:
        raise KubernetesInvalidError(message)
    raise KubernetesRefusedError(message)
