"""Pulsar's Admin REST API (``/admin/v2``), as far as the operator needs it.

Brokers answer 307 to send a caller to the owner of a bundle; the credentials go along, which aiohttp would not do.
"""

import json
import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp

from headrace.api.tls import tls_problem
from headrace.pulsar.errors import (
    AuthenticationFailedError,
    ConflictError,
    NotFoundError,
    PulsarSilentError,
    PulsarUnreachableError,
)

TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_REDIRECTS = 5
_PARTITIONED = "application/vnd.partitioned-topic-metadata+json"


class PulsarAdmin:
    """The admin API of one cluster, with one set of credentials. The session is the caller's to close."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        """*server_name*: the host that the certificate must be for, when it is not the one in *url*."""
        self._session = session
        self._url = url.rstrip("/")
        self._server_name = server_name
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls: ssl.SSLContext | bool = tls or True

    async def get(self, path: str, **query: str) -> Any:
        """The decoded answer; None where Pulsar has no value (204). Errors: see :meth:`request`."""
        return await self.request("GET", path, query=query)

    async def put(self, path: str, body: Any = None, **query: str) -> Any:
        """See :meth:`request`."""
        return await self.request("PUT", path, body=body, query=query)

    async def put_partitioned(self, path: str, partitions: int, properties: Mapping[str, str]) -> Any:
        """Make a partitioned topic with properties: it needs a content type of its own."""
        body = {"partitions": partitions, "properties": dict(properties)}
        return await self.request("PUT", path, body=body, content_type=_PARTITIONED)

    async def post(self, path: str, body: Any = None, **query: str) -> Any:
        """See :meth:`request`."""
        return await self.request("POST", path, body=body, query=query)

    async def delete(self, path: str, **query: str) -> Any:
        """See :meth:`request`."""
        return await self.request("DELETE", path, query=query)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request and follow redirects with the credentials.

        Raises PulsarUnreachableError, AuthenticationFailedError, NotFoundError, and ConflictError for every other
        refusal.
        """
        url = f"{self._url}/admin/v2{path}"
        data = None if body is None else json.dumps(body)
        headers = self._headers | ({"Content-Type": content_type} if data is not None else {})
        for _ in range(_REDIRECTS):
            try:
                async with self._session.request(
                    method,
                    url,
                    params=query if url.startswith(self._url) else None,
                    data=data,
                    headers=headers,
                    ssl=self._tls,
                    server_hostname=self._server_name if url.startswith(self._url) else None,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                ) as response:
                    if response.status in (301, 302, 307, 308) and "Location" in response.headers:
                        url = self._redirected(url, response.headers["Location"])
                        continue
                    return self._answer(response.status, await response.read())
            except (aiohttp.ClientError, OSError) as error:
                raise PulsarSilentError(str(self._unreachable(_cause(error)))) from None
        raise self._unreachable("it redirects without end")

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise self._unreachable("it redirects from https to http, where the token would go in clear text")
        return target

    def _answer(self, status: int, content: bytes) -> Any:
        if 200 <= status < 300:
            return self._decoded(content)
        reason = _reason(content) or f"HTTP {status}"
        if status in (401, 403):
            raise AuthenticationFailedError(f"Pulsar's admin API at {self._url} refused the credentials: {reason}")
        if status == 404:
            raise NotFoundError(reason)
        if status >= 500:
            raise self._unreachable(reason, "cannot serve now")
        raise ConflictError(reason)

    def _decoded(self, content: bytes) -> Any:
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError:
            raise self._unreachable("what answers there is not Pulsar's admin API") from None

    def _unreachable(self, reason: str, how: str = "does not answer") -> PulsarUnreachableError:
        return PulsarUnreachableError(f"Pulsar's admin API at {self._url} {how}: {reason}")


def namespace_path(name: str) -> str:
    """Path of ``TENANT/NAMESPACE``."""
    tenant, namespace = name.split("/", 1)
    return f"/namespaces/{quote(tenant, safe='')}/{quote(namespace, safe='')}"


def topic_path(name: str) -> str:
    """Path of a full topic name."""
    tenant, namespace, topic = name.removeprefix("persistent://").split("/", 2)
    return "/persistent/" + "/".join(quote(part, safe="") for part in (tenant, namespace, topic))


def subscription_path(topic: str, name: str) -> str:
    """Path of a subscription."""
    return f"{topic_path(topic)}/subscription/{quote(name, safe='')}"


def _cause(error: aiohttp.ClientError | OSError) -> str:
    """What the system said, without addresses that change from one attempt to the next."""
    if problem := tls_problem(error):
        return problem
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number)
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _reason(content: bytes) -> str:
    """Pulsar's own words; at most 300 characters."""
    text = content.decode(errors="replace")
    try:
        decoded = json.loads(text)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("reason"):
        text = str(decoded["reason"])
    # An error that Pulsar did not expect comes with its stack: "Message: CLASS: WORDS Stacktrace: …".
    text = text.partition("Stacktrace:")[0].rpartition("Message:")[2]
    if text.lstrip().startswith("<"):
        return ""
    return " ".join(text.split())[:300]
