"""A Pulsar that asks who comes, and what its roles may do."""

import json
import urllib.request
from typing import Any

import pulsar

from testbed.pulsar import Pulsar
from tests.integration.pulsar_tokens import guarded, token

ADMIN = "admin"


class GuardedPulsar(Pulsar):
    """A broker that wants tokens, and permissions for all but the role `admin`."""

    def advertised(self) -> str:
        """The test bed's, and who may come."""
        return super().advertised() + guarded(ADMIN)

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
