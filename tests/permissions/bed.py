"""A Valkey and a Pulsar that give our processes only the rights of the page, and tell what they were asked for."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import valkey as valkey_library

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import parse
from headrace.api.valkey_worker import ValkeyWorker
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Headrace, Processes, admin_path, connections, create_topic, resource
from tests.integration.pulsar_tokens import guarded, token

USER = "limited"
PASSWORD = "secret"
ROLE = "limited"
NAMESPACE = "test"


class LimitedValkey(Valkey):
    """A server whose administrator comes by a Unix socket, so that the rest is known to be ours."""

    def command(self) -> Sequence[str | Path]:
        """The test bed's, and the socket."""
        found = super().command()
        with (self.directory / "valkey.conf").open("a") as configuration:
            configuration.write(f"unixsocket {self._socket}\n")
        return found

    def client(self, database: int = 0) -> valkey_library.Valkey:
        """A client of the administrator."""
        return valkey_library.Valkey(
            unix_socket_path=str(self._socket), db=database, decode_responses=True, socket_timeout=5
        )

    @property
    def _socket(self) -> Path:
        return self.directory / "admin.sock"


class LimitedPulsar(Pulsar):
    """A broker that asks for a token, and takes whoever has none for its administrator."""

    def advertised(self) -> str:
        """The test bed's, and who may come."""
        return super().advertised() + guarded("admin") + "anonymousUserRole=admin\n"

    def grant(self, topic: str, actions: Sequence[str]) -> None:
        """`pulsar-admin topics grant-permission`."""
        self._call("POST", f"{admin_path(topic)}/permissions/{ROLE}", list(actions))

    def revoke(self, topic: str) -> None:
        """`pulsar-admin topics revoke-permission`."""
        self._call("DELETE", f"{admin_path(topic)}/permissions/{ROLE}")

    def grant_namespace(self, namespace: str, actions: Sequence[str]) -> None:
        """`pulsar-admin namespaces grant-permission`."""
        self._call("POST", f"/admin/v2/namespaces/{namespace}/permissions/{ROLE}", list(actions))

    def _call(self, method: str, path: str, body: object = None) -> None:
        request = urllib.request.Request(
            self.admin_url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()


@dataclass
class Asked:
    """What our processes asked of Valkey."""

    commands: set[str] = field(default_factory=set)
    """Such as `get` and `client|setname`."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    """Each key, and which of `R` and `W` it was used for."""
    channels: set[str] = field(default_factory=set)
    scripts: set[str] = field(default_factory=set)
    """Their texts."""


class Record:
    """Listens to `MONITOR`, which leaves out nothing but commands of administration; those `ACL LOG` tells."""

    def __init__(self, server: LimitedValkey) -> None:
        self._server = server
        self._lines: list[bytes] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what is asked inside the block."""
        with socket.create_connection((self._server.host, self._server.port), timeout=10) as connection:
            connection.sendall(b"MONITOR\r\n")
            connection.settimeout(None)
            lines = connection.makefile("rb")
            assert lines.readline() == b"+OK\r\n"
            thread = threading.Thread(target=self._listen, args=(lines,), daemon=True)
            thread.start()
            yield
            with self._server.client() as admin:
                admin.echo("end of the record")
            thread.join(30)
            assert not thread.is_alive()

    def _listen(self, lines: Any) -> None:
        for line in lines:
            if b'"ECHO" "end of the record"' in line:
                return
            self._lines.append(line)

    def asked(self) -> Asked:
        """What was asked."""
        found = Asked()
        with self._server.client() as admin:
            containers = {name.lower() for name, facts in admin.command().items() if facts.get("subcommands")}
            raw: Any = valkey_library.Valkey(
                connection_pool=None, unix_socket_path=admin.connection_pool.connection_kwargs["path"]
            )
            seen: set[tuple[bytes, ...]] = set()
            for line in self._lines:
                head, _, rest = line.rstrip(b"\r\n").partition(b"] ")
                if b" unix:" in head:
                    continue
                words = [_unescaped(word) for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', rest)]
                _note(found, words, containers)
                shape = (words[0].upper(), *words[1:4])
                if shape not in seen or words[0].upper() in (b"EVAL", b"EVALSHA"):
                    seen.add(shape)
                    _note_keys(found, raw, words)
        return found


def _note(found: Asked, words: list[bytes], containers: set[str]) -> None:
    name = words[0].decode().lower()
    found.commands.add(f"{name}|{words[1].decode().lower()}" if name in containers and len(words) > 1 else name)
    if name == "script" and words[1].upper() == b"LOAD":
        found.scripts.add(words[2].decode())
    elif name == "eval":
        found.scripts.add(words[1].decode())
    elif name in ("subscribe", "psubscribe"):
        found.channels |= {word.decode() for word in words[1:]}
    elif name == "publish":
        found.channels.add(words[1].decode())


def _note_keys(found: Asked, raw: Any, words: list[bytes]) -> None:
    try:
        keys = raw.execute_command("COMMAND GETKEYSANDFLAGS", *words)
    except valkey_library.ResponseError:  # it has none
        return
    for key, flags in keys:
        uses = found.keys.setdefault(key.decode(errors="replace"), set())
        names = {flag.decode() for flag in flags}
        if "access" in names:
            uses.add("R")
        if names & {"insert", "delete", "update"}:
            uses.add("W")


def _unescaped(word: bytes) -> bytes:
    return word.decode("unicode_escape").encode("latin-1") if b"\\" in word else word


class Scene:
    """One mode at work."""

    def __init__(self, name: str, valkey: LimitedValkey, broker: LimitedPulsar, processes: Processes) -> None:
        self.name = name
        self.valkey = valkey
        self.broker = broker
        self.processes = processes
        self.admin: Any = valkey.client()
        self.documents: list[dict[str, Any]] = []
        """The resources whose processes were started."""

    @property
    def prefix(self) -> str:
        """What our own keys begin with."""
        return f"headrace:{{{NAMESPACE}/{self.name}}}"

    def topic(self, role: str = "") -> str:
        """A topic of this scene alone."""
        return f"persistent://public/default/{self.name}{role}"

    def make_topics(self, *roles: str) -> None:
        """Make the topics, without any right on them."""
        for role in roles:
            try:
                create_topic(self.broker, self.topic(role))
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise

    def start(self, command: str, kind: str, spec: dict[str, Any], **options: Any) -> Headrace:
        """Start a process as the limited user and role."""
        brokers = connections(self.valkey, self.broker)
        brokers["valkey"]["auth"] = {"secretRef": {"name": "valkey"}}
        brokers["pulsar"]["auth"] = {"tokenSecretRef": {"name": "pulsar", "key": "token"}}
        if kind != "PulsarBridge":
            del brokers["pulsar"]
        document = resource(kind, self.name, {**spec, **brokers})
        self.documents.append(document)
        return self.processes.start(
            command,
            document,
            secrets={"valkey/username": USER, "valkey/password": PASSWORD, "pulsar/token": token(ROLE)},
            **options,
        )

    def allow(self, rules: Sequence[str]) -> None:
        """Give the user these rights in Valkey, and no others."""
        self.admin.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
        self.admin.acl_log_reset()

    def grant(self, grants: Mapping[str, Sequence[str]]) -> None:
        """Make the topics, and give the role these rights on them."""
        self.make_topics(*grants)
        for name, actions in grants.items():
            if actions:
                self.broker.grant(self.topic(name), actions)

    def count(self) -> None:
        """What the operator asks, with the same user, for the status of each resource."""
        credentials = Credentials(valkey_username=USER, valkey_password=PASSWORD)
        for document in self.documents:
            kind = PulsarBridge if document["kind"] == "PulsarBridge" else ValkeyWorker
            found = asyncio.run(ask_valkey(parse(kind, document), credentials))
            assert found.valkey is not None
            assert found.valkey.append_only, "INFO is allowed"

    def refused_commands(self, given: Sequence[str]) -> list[str]:
        """Commands in `ACL LOG` that are not among *given*: a refusal may be noted after the right was given."""
        found = {str(each["object"]) for each in self.admin.acl_log() if each["reason"] == "command"}
        return sorted(found - set(given))

    def refused(self) -> list[str]:
        """What `ACL LOG` holds."""
        return [f"{each['reason']} {each['object']} ({each['context']})" for each in self.admin.acl_log()]
