"""Whether Pulsar would serve a loop that has nothing to move now: it is asked, once a second for all of them.

A producer or consumer counts as connected for up to a minute after its broker froze, so that alone proves nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from headrace.bridge.client_log import ClientLog
from headrace.bridge.pulsar_library import Client, PulsarError
from headrace.process.failure import UNREACHABLE, Failure, failure_of
from headrace.process.stop import Stop

PERIOD_SECONDS = 1.0
FRESH_SECONDS = 2.5
"""An older answer proves nothing."""
WANTED_SECONDS = 5.0
"""A topic that no loop asked about for so long is not looked up any more."""


@dataclass
class _Look:
    asked: float
    answered: float = float("-inf")
    error: Exception | None = None


class Proof:
    """The looks of one process, in a daemon thread: a look-up of each topic, which needs the right to use it."""

    def __init__(self, client: Client, log: ClientLog, stop: Stop) -> None:
        self._client = client
        self._log = log
        self._stop = stop
        self._looks: dict[str, _Look] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="proof", daemon=True).start()

    def proved(self, topic: str) -> bool:
        """Whether Pulsar answered for *topic* a moment ago. Not at the first call, which makes that it is asked."""
        with self._lock:
            look = self._looks.setdefault(topic, _Look(0.0))
            look.asked = time.monotonic()
        fresh = look.error is None and time.monotonic() - look.answered < FRESH_SECONDS
        if fresh:
            self._log.served(topic)
        return fresh

    def failure(self, topic: str, *, connected: bool) -> Failure | None:
        """Why Pulsar does not serve *topic*, as far as that is known. *connected*: whether the loop's own producer or
        consumer is."""
        look = self._looks.get(topic)
        if look is not None and look.error is not None:
            return failure_of(look.error)
        return None if connected else self._log.about(topic)

    def about(self, topic: str) -> Failure | None:
        """What the broker said last of *topic*, if it was an error."""
        return self._log.about(topic)

    def explain(self, error: Exception, topic: str) -> Failure:
        """What *error* of the library means, in the broker's own words where it has said any."""
        found, said = failure_of(error), self._log.about(topic)
        return said if said and found.reason in (said.reason, UNREACHABLE.reason) else found

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            now = time.monotonic()
            with self._lock:
                self._looks = {topic: look for topic, look in self._looks.items() if now - look.asked < WANTED_SECONDS}
                looks = list(self._looks.items())
            for topic, look in looks:
                try:
                    self._client.get_topic_partitions(topic)
                except PulsarError as error:
                    look.error = error
                else:
                    look.answered, look.error = time.monotonic(), None
