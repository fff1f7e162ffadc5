"""One replica works, the others stand by: a lease in Valkey that every script of the holder checks."""

from __future__ import annotations

import logging
import secrets

import valkey
from valkey.exceptions import ResponseError

from headrace.bridge.scripts import FencedError, raise_if_fenced, script
from headrace.process.failure import NOT_PERMITTED, failure_of
from headrace.process.valkey_server import VALKEY_TROUBLE

LEASE_MILLISECONDS = 6_000
"""How long a silent holder keeps its lease. A killed replica is replaced after this."""
NOT_OURS: tuple[type[Exception], ...] = (FencedError, *VALKEY_TROUBLE)
"""What the use of a lease raises that another replica has, or that Valkey cannot tell of."""

_log = logging.getLogger(__name__)


class Lease:
    """The right to move one list. Its token fences: after another replica came, each write of ours is refused.

    The token is random, not a counter: a Valkey that lost its last second would give the same number twice.
    """

    def __init__(self, client: valkey.Valkey, prefix: str) -> None:
        self.token = secrets.token_hex(8)
        self.held = False
        """Whether this replica held it when it was last asked for; only the scripts know for sure."""
        self.owner_key = f"{prefix}:owner"
        self.lease_key = f"{prefix}:lease"
        self._acquire = script(client, "preflight", "acquire", in_full=True)
        self._renew = script(client, "renew", in_full=True)

    def acquire(self) -> bool:
        """Take the lease when it is free; whether this replica holds it now."""
        keys = [self.owner_key, self.lease_key]
        self.held = bool(self._acquire(keys=keys, args=[self.token, LEASE_MILLISECONDS]) == 1)
        return self.held

    def renew(self) -> None:
        """Keep the lease; raise :class:`~headrace.bridge.scripts.FencedError` when another replica took it."""
        self._write(LEASE_MILLISECONDS)

    def release(self) -> None:
        """Let a waiting replica take over at once; raise ``FencedError`` when one already did."""
        self.held = False
        self._write(0)

    def leave(self) -> None:
        """Release it at the end, if that can be done; it ends by itself, too."""
        try:
            self.release()
        except FencedError:
            pass
        except VALKEY_TROUBLE as error:
            if failure_of(error).reason == NOT_PERMITTED.reason:
                _log.warning("%s is not given back, but ends by itself (%s)", self.lease_key, error)

    def _write(self, milliseconds: int) -> None:
        try:
            self._renew(keys=[self.owner_key, self.lease_key], args=[self.token, milliseconds])
        except ResponseError as error:
            raise_if_fenced(error)
