"""How many partitions the topics have that are written to, and whether that changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from headrace.bridge.pulsar_client import partitions
from headrace.bridge.pulsar_library import Client, PulsarError, TopicNotFoundError
from headrace.bridge.routing import Target
from headrace.process.stop import Stop

LOOK_SECONDS = 5.0


class Layouts:
    """What a process knows of its topics. A thread looks after them, since the client blocks while Pulsar is away."""

    def __init__(self, client: Client, stop: Stop) -> None:
        self._client = client
        self._stop = stop
        self._found: dict[str, int | None] = {}
        """Partitions of each topic at the last look; None for a topic that does not exist."""
        self._watched: dict[object, Sequence[Target]] = {}

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="layouts", daemon=True).start()

    def target(self, topic: str) -> Target:
        """The topic as it is now. Raises ``PulsarError``."""
        found = self._found[topic] = partitions(self._client, topic)
        return Target(topic, found)

    def stands(self, target: Target) -> bool:
        """Whether the topics of *target* exist, or were made anew alike. Raises ``PulsarError``.

        Topics with names of partitions may be left over from a partitioned topic that is gone, and a producer may make
        one (`allowAutoTopicCreation`), which then is in the way of the partitioned one: so that one is asked for.
        """
        try:
            found = partitions(self._client, target.topic)
        except TopicNotFoundError:
            return False
        return found >= target.partitions if target.partitions else not found

    def watch(self, watcher: object, targets: Sequence[Target]) -> None:
        """From now on *watcher* wants to know whether *targets* change; none: it does not any more."""
        watched = {known: each for known, each in self._watched.items() if known is not watcher}
        self._watched = {**watched, watcher: targets} if targets else watched

    def changed(self, watcher: object) -> str:
        """What has changed for *watcher*, in words; empty when nothing has. A topic that is gone tells by itself."""
        for target in self._watched.get(watcher, ()):
            found = self._found.get(target.topic)
            if found is not None and found != target.partitions:
                return f"{target.topic} has {found or 'no'} partitions now, it had {target.partitions or 'none'}"
        return ""

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for topic in {target.topic for targets in self._watched.values() for target in targets}:
                try:
                    self._found[topic] = partitions(self._client, topic)
                except TopicNotFoundError:
                    self._found[topic] = None
                except PulsarError:
                    break  # it is away, which those who write to it notice
