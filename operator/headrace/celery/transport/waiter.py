# mypy: disallow-untyped-calls=False
"""Waits for a message without taking it."""

from __future__ import annotations

import time
from typing import Any

from redis import exceptions

REFUSED_SECONDS = 1.0
"""Valkey is not asked again for so long when it refused to wait."""


class Waiter:
    """Waits, on a connection of its own, until a list has an entry, and leaves it there.

    ``BLMOVE list list RIGHT RIGHT`` blocks while the list is empty, and else moves its last entry to where it is.
    """

    def __init__(self, pool: Any, key: str, timeout_seconds: int) -> None:
        self.key = key
        self.connection: Any = pool.get_connection()
        self.since: float | None = None
        self.refused = ""
        """Why Valkey does not wait at this list, when it does not."""
        self._not_before = 0.0
        self._pool = pool
        self._timeout = timeout_seconds

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way."""
        return self.since is not None

    def wait(self) -> None:
        """Begin to wait, unless Valkey refused it just now."""
        if time.monotonic() < self._not_before:
            return
        self.connection.send_command("BLMOVE", self.key, self.key, "RIGHT", "RIGHT", self._timeout)
        self.since = time.monotonic()

    def read(self) -> bool:
        """The answer: whether there is an entry."""
        self.since = None
        try:
            found = self.connection.read_response() is not None
            self.refused = ""
            return found
        except exceptions.ReadOnlyError:
            self.connection.disconnect()
            raise
        except exceptions.ResponseError as error:
            self.refused = f"{self.key}: {error}"
            self._not_before = time.monotonic() + REFUSED_SECONDS
            return False
        except BaseException:
            self.connection.disconnect()
            raise

    def overdue(self, patience_seconds: float) -> bool:
        """Whether the server should have answered long ago."""
        return self.since is not None and time.monotonic() - self.since > self._timeout + patience_seconds

    def close(self) -> None:
        """Close the connection, and let the pool count it no more."""
        self.since = None
        self.connection.disconnect()
        self._pool.release(self.connection)
