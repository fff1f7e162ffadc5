"""What the Pulsar client writes in its log: turned into log lines of ours, and read for what it tells nowhere else.

A consumer that loses its connection makes another one by itself, and nothing but a line of its log says so. What it is
connected to then may be another topic of the same name: one that was deleted and made anew, or that of another cluster
behind the same address.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
import threading
from collections import Counter, defaultdict
from collections.abc import Collection
from functools import cache

from headrace.bridge.broker_words import BrokerWords
from headrace.bridge.cursor import Place
from headrace.process.failure import Failure

PIPE_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024

_LINE = re.compile(r"^\S+ \S+ (?P<level>[A-Z]+)\s+\[[^]]*\] (?P<where>\S+) \| (?P<text>.*)$")
_CONNECTED = re.compile(r"^\[(?P<topic>\S+), (?P<subscription>\S+), \d+\] Created consumer on broker ")
_DISCARDED = re.compile(
    r"^\[(?P<topic>\S+), (?P<subscription>\S+), \d+\] Discarding corrupted message at (?P<ledger>\d+):(?P<entry>\d+)"
)
MOST_DISCARDED = 10_000
"""Of a partition: so many are remembered."""
_QUIET = frozenset({"DEBUG", "INFO"})

_log = logging.getLogger("pulsar")


class ClientLog:
    """One for all clients of a process, since the client has one logger for all.

    Pulsar's Python logger deadlocks on the GIL (pulsar-client-python#116), so the C++ side writes to a file of its own,
    a pipe, and on it INFO lines too: a few for each connection. Only warnings and errors go on.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.path = f"/proc/self/fd/{self._writer}"
        """The file that the client writes to."""
        self._words = BrokerWords()
        self._lock = threading.Lock()
        self._rest = b""
        self._connections: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._total = 0
        self._discarded: defaultdict[tuple[str, str], dict[Place, None]] = defaultdict(dict)
        threading.Thread(target=self._run, name="pulsar-log", daemon=True).start()

    def total(self) -> int:
        """How many connections of consumers were made by now, all together.

        The client writes the line before it asks for messages: of a message that was received, the connection is
        counted.
        """
        self._read()
        return self._total

    def connections(self, subscription: str) -> dict[str, int]:
        """How many connections consumers of *subscription* made, by the partition's topic."""
        self._read()
        with self._lock:
            return dict(self._connections[subscription])

    def discarded(self, subscription: str, partition: str) -> Collection[Place]:
        """Entries of the topic *partition* that consumers of *subscription* could not read, and acknowledged."""
        self._read()
        with self._lock:
            return tuple(self._discarded.get((subscription, partition), ()))

    def take_discarded(self, subscription: str) -> dict[str, list[Place]]:
        """The same by the partition's topic, each once."""
        self._read()
        with self._lock:
            keys = [key for key, places in self._discarded.items() if key[0] == subscription and places]
            return {key[1]: sorted(self._discarded.pop(key)) for key in keys}

    def about(self, topic: str) -> Failure | None:
        """Why *topic* has not been served lately, as the broker said; None when it said nothing."""
        self._read()
        return self._words.about(topic)

    def served(self, topic: str) -> None:
        """*topic* is served now: what was said of it before counts no more."""
        self._words.forget(topic)

    def _run(self) -> None:
        while True:
            select.select([self._reader], [], [])
            self._read()

    def _read(self) -> None:
        with self._lock:
            while True:
                try:
                    found = os.read(self._reader, READ_BYTES)
                except BlockingIOError:
                    return
                *lines, self._rest = (self._rest + found).split(b"\n")
                for line in lines:
                    self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        match = _LINE.match(line)
        if match is None or match["level"] not in _QUIET:
            text = match["text"] if match else line
            self._words.hear(text)
            # the client retries by itself: what it calls an error is a warning to whoever reads our logs
            _log.warning("%s", text)
            if match and (lies := _DISCARDED.match(match["text"])):
                places = self._discarded[lies["subscription"], lies["topic"]]
                places[int(lies["ledger"]), int(lies["entry"])] = None
                if len(places) > MOST_DISCARDED:
                    del places[next(iter(places))]
        elif connected := _CONNECTED.match(match["text"]):
            self._connections[connected["subscription"]][connected["topic"]] += 1
            self._total += 1


@cache
def client_log() -> ClientLog:
    """The log of this process's clients; never call it before a fork."""
    return ClientLog()
