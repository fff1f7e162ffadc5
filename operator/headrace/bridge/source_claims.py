"""Two bridges that take from one list, or read one stream by one group, would each get a part: the second is refused.

A claim lies beside the source, since nothing else is common to two resources, perhaps of two clusters.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from valkey.exceptions import NoPermissionError

from headrace.bridge.lines import Line
from headrace.bridge.scripts import script
from headrace.bridge.shares import Share
from headrace.process.failure import Failure
from headrace.process.health import Health
from headrace.process.stop import Stop
from headrace.process.valkey_server import VALKEY_TROUBLE, ValkeyServer

CLAIM_MILLISECONDS = 6_000
BEAT_SECONDS = 1.0
LOOP = "source claims"

_log = logging.getLogger(__name__)


class SourceClaims:
    """The loop that keeps the claims of *lines*. Runs in a thread of its own; the loops of the lines ask it."""

    def __init__(self, server: ValkeyServer, lines: Sequence[Line], health: Health, stop: Stop) -> None:
        self._claim: Any = script(server.client(), "claim", in_full=True)
        self._keys = {claim_key(line): line for line in lines}
        self._health = health
        self._standings = {
            key: health.standing(f"claim of {_source(line)}", "valkey") for key, line in self._keys.items()
        }
        self._stop = stop
        self._lock = threading.Lock()
        self._ours: dict[str, bool] = {}
        self._allowed = True

    def share(self, line: Line, share: Share) -> Share:
        """The right of *line* to try for its lease: as *share* says, when its source is this resource's."""
        return _ClaimedShare(self, claim_key(line), share)

    def run(self) -> None:
        """Keep the claims until the stop. They then end by themselves: other pods of the resource may live."""
        tick = self._health.loop(LOOP)
        while not self._stop:
            tick()
            try:
                for key in self._keys:
                    self._beat(key)
            except VALKEY_TROUBLE as error:
                for standing in self._standings.values():
                    standing.failed(error)
            self._stop.wait(BEAT_SECONDS)
        self._health.done(LOOP)
        for standing in self._standings.values():
            standing.rest()

    def ours(self, key: str) -> bool:
        """Whether the source is this resource's, as Valkey said last; the first call asks it, and raises one of
        ``VALKEY_TROUBLE``."""
        if key not in self._ours:
            self._beat(key)
        return self._ours[key]

    def _beat(self, key: str) -> None:
        standing = self._standings[key]
        if not self._allowed:
            self._ours[key] = True
            standing.rest()
            return
        line = self._keys[key]
        try:
            with self._lock:
                holder = self._claim(keys=[key], args=[line.identity, CLAIM_MILLISECONDS]).decode()
        except NoPermissionError:
            self._allowed = False
            self._ours[key] = True
            text = "no right to the key %s: it would not be noticed if another bridge took from the same source"
            _log.warning(text, key)
            return
        self._ours[key] = holder == line.identity
        if holder != line.identity:
            refusal = f"{holder} takes from {_source(line)} too, and each would get a part of it: choose another source"
            if line.source.stream:
                refusal += ", or another group"
            standing.failed(Failure("SourceTaken", refusal))
        else:
            standing.served()


def _source(line: Line) -> str:
    source = line.source.stream or line.source.list
    assert source is not None
    return source.key


def claim_key(line: Line) -> str:
    """Where the claim of the source of *line* lies."""
    stream = line.source.stream
    if stream is not None:
        return f"headrace:source:{{{stream.key}}}:{stream.group}"
    assert line.source.list is not None
    return f"headrace:source:{{{line.source.list.key}}}"


class _ClaimedShare(Share):
    def __init__(self, claims: SourceClaims, key: str, share: Share) -> None:
        self._claims = claims
        self._key = key
        self._share = share

    def claim(self) -> bool:
        return self._claims.ours(self._key) and self._share.claim()

    def surplus(self) -> bool:
        return not self._claims.ours(self._key) or self._share.surplus()

    def left(self) -> None:
        self._share.left()
