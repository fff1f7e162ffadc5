"""Runs one call of ours against a Valkey that refuses it one thing at a time, and looks at what it left."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import valkey as valkey_library
from valkey.exceptions import ResponseError

from headrace.process.permission import Client
from testbed.valkey import Valkey

OPERATOR = Path(__file__).parents[2] / "operator"
USER = "limited"

Prepare = Callable[[Any], Any]
Act = Callable[[Any], Any]
State = dict[str, Any]

MAKE: dict[str, Callable[[Any, str], Any]] = {
    "string": lambda client, key: client.set(key, "x"),
    "list": lambda client, key: client.rpush(key, "x"),
    "set": lambda client, key: client.sadd(key, "x"),
    "zset": lambda client, key: client.zadd(key, {"x": 1}),
    "hash": lambda client, key: client.hset(key, "x", "y"),
    "stream": lambda client, key: client.xadd(key, {"x": "y"}),
}


@dataclass(frozen=True)
class Case:
    """One call of ours."""

    name: str
    prepare: Prepare
    """Fills an empty Valkey, as an administrator."""
    act: Act
    """Makes the call. It raises, or returns something, when not everything was done: it must be told."""
    parts: tuple[Act, ...] = ()
    """Besides all and nothing each of these may be what it comes to: for a call that may leave single messages as they
    are. Each is made on what *prepare* made, without limits."""
    types: frozenset[tuple[str, str]] = frozenset()
    """Of keys that it reads and does not write."""
    overwritten: frozenset[str] = frozenset()
    """Keys whose former value does not matter, of whatever type."""


@dataclass
class Seen:
    """What a full run did."""

    commands: set[tuple[str, ...]] = field(default_factory=set)
    """Name, and name of the subcommand."""
    keys: set[str] = field(default_factory=set)
    pairs: set[tuple[tuple[str, ...], str]] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    scripts: str = ""
    """The texts of all scripts."""


class Bed:
    """One Valkey for all calls."""

    def __init__(self, server: Valkey) -> None:
        self.server = server
        self.admin: Any = server.client()
        connect: Any = valkey_library.Valkey
        self.raw = connect(host=server.host, port=server.port)
        self.ear = self.raw.pubsub(ignore_subscribe_messages=True)
        self.ear.psubscribe("*")
        self.heard: list[tuple[bytes, bytes]] = []

    def fresh(self, case: Case) -> None:
        """Make what stands there before the call."""
        for name, value in (("maxmemory", "0"), ("min-replicas-to-write", "0")):
            self.admin.config_set(name, value)
        self.admin.replicaof("NO", "ONE")
        self.admin.flushall()
        case.prepare(self.raw)
        self._listen()
        self.heard = []

    def limit(self, *rules: str) -> None:
        """Give the user of the call these rights."""
        self.admin.execute_command("ACL", "SETUSER", USER, "reset", "on", ">secret", *rules)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of the limited user."""
        server = self.server
        client: Any = Client(host=server.host, port=server.port, username=USER, password="secret")
        try:
            yield client
        finally:
            client.close()

    def run(self, case: Case) -> str:
        """Make the call; what it said when it was not all."""
        with self.client() as client:
            try:
                return str(case.act(client) or "")
            except (valkey_library.ValkeyError, OSError) as error:
                return f"{type(error).__name__}: {error}"

    def record(self, case: Case) -> Seen:
        """Make the call with all rights, and learn what it does."""
        self.fresh(case)
        self.limit("+@all", "~*", "&*")
        self.admin.script_flush()
        seen = Seen()
        with monitored(self.server) as lines:
            assert self.run(case) == "", f"{case.name} does not do all of it"
            self.admin.echo("end of the call")
        for inside, words in lines:
            self._note(seen, inside, words)
        return seen

    def _note(self, seen: Seen, inside: bool, words: list[bytes]) -> None:
        keys: set[str] = set()
        name = words[0].upper()
        if name == b"SCRIPT" and words[1].upper() == b"LOAD":
            seen.scripts += words[2].decode()
        elif name == b"EVAL":
            seen.scripts += words[1].decode()
        with suppress(ResponseError):
            keys = set(self.raw.execute_command("COMMAND GETKEYS", *words))
            seen.keys |= keys
        if not inside:
            return
        container = name in (b"XGROUP", b"XINFO", b"MEMORY")
        command = tuple(word.decode().lower() for word in words[: 1 + container])
        seen.commands.add(command)
        if name == b"PUBLISH":
            seen.channels.add(words[1].decode())
        else:
            seen.pairs |= {(command, key) for key in keys}

    def state(self) -> State:
        """All keys, and what was published; comparable: ids and times are left out."""
        self._listen()
        values = {key.decode(): self._value(key.decode()) for key in self.raw.scan_iter()}
        return {**values, "": list(self.heard)}

    def _listen(self) -> None:
        self.admin.publish("end", "")
        while (said := self.ear.get_message(timeout=10)) is None or said["channel"] != b"end":
            if said is not None:
                self.heard.append((said["channel"], _masked(said["data"])))

    def _value(self, key: str) -> Any:
        client, kind = self.raw, self.admin.type(key)
        if kind == "string":
            return kind, _masked(client.get(key)), self.admin.ttl(key) > 0
        if kind == "list":
            return kind, list(map(_masked, client.lrange(key, 0, -1)))
        if kind == "set":
            return kind, set(client.smembers(key))
        if kind == "zset":
            return kind, sorted(_masked(member) for member in client.zrange(key, 0, -1))
        if kind == "hash":
            pairs = client.hgetall(key).items()
            return kind, {name: _masked(value) for name, value in pairs}, self.admin.ttl(key) > 0
        groups = [(group["name"], group["pending"], group["entries-read"]) for group in client.xinfo_groups(key)]
        return kind, [fields for _, fields in client.xrange(key)], groups


def _masked(value: bytes) -> bytes:
    """Without times, which differ from run to run."""
    return re.sub(rb"\d{10,}(-\d+)?|\d+\.\d+", b"#", value)


@contextmanager
def monitored(server: Valkey) -> Iterator[list[tuple[bool, list[bytes]]]]:
    """What the server runs inside the block, up to an ECHO at its end: whether a script does it, and the words."""
    found: list[tuple[bool, list[bytes]]] = []
    address = server.host, server.port
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"MONITOR\r\n")
        assert lines.readline() == b"+OK\r\n"
        yield found
        for line in lines:
            head, _, rest = line.rstrip(b"\r\n").partition(b"] ")
            words = [_unescaped(word) for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', rest)]
            if words[0].upper() == b"ECHO":
                return
            found.append((head.endswith(b" lua"), words))


def _unescaped(word: bytes) -> bytes:
    return word.decode("unicode_escape").encode("latin-1")


@dataclass(frozen=True)
class Refusal:
    """One thing that Valkey refuses."""

    name: str
    rules: tuple[str, ...] = ("+@all", "~*", "&*")
    key: str | None = None
    """Whose type is another one."""
    kind: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    is_replica: bool = False

    def begin(self, bed: Bed) -> None:
        """From now on it is refused."""
        bed.limit(*self.rules)
        if self.key is not None:
            bed.admin.delete(self.key)
            MAKE[self.kind](bed.admin, self.key)
        for name, value in self.settings:
            bed.admin.config_set(name, value)
        if self.is_replica:
            bed.admin.replicaof(bed.server.host, "1")


def refusals(seen: Seen, kinds: Set[tuple[str, str]]) -> Iterator[Refusal]:
    """Everything that can be refused to a call; *kinds*: keys and the types that they should have."""
    for command in sorted(seen.commands):
        yield Refusal(f"no right to {' '.join(command)}", ("+@all", "~*", "&*", f"-{'|'.join(command)}"))
    for channel in sorted(seen.channels):
        yield Refusal(f"no right to the channel {channel}", ("+@all", "~*", "resetchannels"))
    for key in sorted(seen.keys):
        others = tuple(f"~{other}" for other in sorted(seen.keys) if other != key)
        yield Refusal(f"no right to {key}", ("+@all", "&*", *others))
        yield Refusal(f"no right to write {key}", ("+@all", "&*", *others, f"%R~{key}"))
        yield Refusal(f"no right to read {key}", ("+@all", "&*", *others, f"%W~{key}"))
        for kind in MAKE:
            if (key, kind) not in kinds:
                yield Refusal(f"{key} is a {kind}", key=key, kind=kind)
    for command, key in sorted(seen.pairs):
        name, rest = "|".join(command), " ".join(f"~{other}" for other in sorted(seen.keys) if other != key)
        only = (f"(+{name} &* {rest})",) if rest else ()
        yield Refusal(f"no right to {name} on {key}", ("+@all", "~*", "&*", f"-{name}", *only))
    yield Refusal("full", settings=(("maxmemory", "1"),))
    yield Refusal("too few replicas", settings=(("min-replicas-to-write", "1"),))
    yield Refusal("read-only", is_replica=True)


def scripts() -> dict[str, str]:
    """Every Lua file of ours, and its text."""
    return {str(path.relative_to(OPERATOR)): path.read_text() for path in sorted(OPERATOR.rglob("*.lua"))}
