# mypy: disallow-untyped-calls=False
"""One connection that runs scripts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from headrace.process.lua import ALLOWED_IN_FULL, script_text


@dataclass(frozen=True)
class Script:
    """A Lua script of this package."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def of(cls, *names: str) -> Script:
        """The script of the files ``<name>.lua``, which a full Valkey runs too."""
        return cls(ALLOWED_IN_FULL + script_text(*names, folders=(Path(__file__).parent,)))


RESERVE, KEEP, RELEASE = (Script.of("preflight", "holding", name) for name in ("reserve", "keep", "release"))
STAGE, ADOPT = Script.of("stage"), Script.of("preflight", "adopt")


class Link:
    """A connection; threads take turns. A command is sent once: who calls knows what a repetition would do.

    *pool* is the link's own; its connections get a time-out of *timeout_seconds* at most.
    """

    def __init__(self, pool: Any, timeout_seconds: float) -> None:
        options = pool.connection_kwargs
        # kombu's default is to wait for ever, and redis-py's to send a command again
        for name in ("socket_timeout", "socket_connect_timeout"):
            options[name] = min(options.get(name) or timeout_seconds, timeout_seconds)
        options["retry"] = Retry(NoBackoff(), 0)
        self._pool = pool
        self._lock = threading.RLock()
        self._connection: Any = None

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run *script*; raise what redis-py raises, a ``ConnectionError`` for a server that is a replica now."""
        with self._lock:
            return self._call(script, keys, arguments)

    def _call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._pool.get_connection()
        try:
            connection.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            try:
                return connection.read_response()
            except exceptions.NoScriptError:
                connection.send_command("EVAL", script.text, len(keys), *keys, *arguments)
                return connection.read_response()
        except exceptions.ReadOnlyError as error:
            self.close()
            raise exceptions.ConnectionError(f"Valkey is a replica now: {error}") from error
        except exceptions.ResponseError:
            raise
        except BaseException:
            self.close()  # an answer may still be on its way
            raise

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.disconnect()
                self._pool.release(connection)
