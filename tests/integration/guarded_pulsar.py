"""A Pulsar that asks who comes, and what its roles may do."""

import base64
import hashlib
import hmac
import json
import urllib.request
from typing import Any

import pulsar

from testbed.pulsar import Pulsar

KEY = b"a secret of this test bed alone, and long enough"
ADMIN = "admin"


def token(role: str) -> str:
    """A JSON web token (RFC 7519) of *role*, signed by HMAC-SHA256."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    text = f"{part(json.dumps({'alg': 'HS256'}).encode())}.{part(json.dumps({'sub': role}).encode())}"
    return f"{text}.{part(hmac.new(KEY, text.encode(), hashlib.sha256).digest())}"


class GuardedPulsar(Pulsar):
    """A broker that wants tokens, and permissions for all but the role `admin`."""

    def advertised(self) -> str:
        """The test bed's, and who may come."""
        return super().advertised() + (
            f"authenticationEnabled=true\nauthorizationEnabled=true\nsuperUserRoles={ADMIN}\n"
            "authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken\n"
            f"tokenSecretKey=data:;base64,{base64.b64encode(KEY).decode()}\n"
            "brokerClientAuthenticationPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken\n"
            f"brokerClientAuthenticationParameters=token:{token(ADMIN)}\n"
        )

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the admin API as `admin`; returns the answer, decoded where it is JSON."""
        request = urllib.request.Request(
            self.admin_url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token(ADMIN)}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text[:1] in (b"{", b"[", b'"') or text.isdigit() else text.decode()

    def client(self, role: str = ADMIN) -> pulsar.Client:
        """A client of *role*."""
        silent = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
        return pulsar.Client(self.service_url, pulsar.AuthenticationToken(token(role)), logger=silent)

    def create_topic(self, topic: str, *, deduplication: bool = True) -> str:
        """Make a topic; returns its name."""
        self.admin("PUT", server_path(topic), {})
        if deduplication:
            self.admin("POST", f"{server_path(topic)}/deduplicationEnabled", True)
        return topic

    def payloads(self, topic: str) -> list[bytes]:
        """What a topic holds."""
        client = self.client()
        try:
            found, reader = [], client.create_reader(topic, pulsar.MessageId.earliest)
            while reader.has_message_available():
                found.append(reader.read_next(10_000).data())
            return found
        finally:
            client.close()

    def _answers(self, path: str) -> bool:
        try:
            self.admin("GET", path)
        except OSError:
            return False
        return True


def server_path(topic: str) -> str:
    """Where the admin API has a topic."""
    return "/admin/v2/persistent/" + topic.removeprefix("persistent://")
