"""Which topics a bridge reads: those it names as far as they exist, or those that match its pattern now; and how they
are laid out.

The client has a discovery of its own (`pattern_auto_discovery_period`), which finds nothing in Python's binding.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from headrace.api.bridge_source import PulsarSource
from headrace.api.pulsar_bridge import PulsarBridgeSpec
from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin
from headrace.bridge.pulsar_client import partitions
from headrace.bridge.pulsar_library import Client, PulsarError, core
from headrace.process.failure import Failure, failure_of
from headrace.process.health import Standing
from headrace.process.logs import Seldom
from headrace.process.stop import Stop

PERIOD_SECONDS = 5.0
PATIENCE_SECONDS = 9.0
"""A look that was so long ago proves nothing."""

Problem = Callable[[str, str], None]
"""Told of a topic that cannot be read, and why, in one CamelCase word."""

_log = logging.getLogger(__name__)


class NoTopicsError(Exception):
    """There is nothing to subscribe to."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class SourceTopics:
    """The topics of one source. :meth:`look` and the thread of :meth:`start` may run side by side."""

    def __init__(
        self,
        spec: PulsarBridgeSpec,
        source: PulsarSource,
        client: Client,
        admin: PulsarAdmin,
        problem: Problem,
        stop: Stop,
        standing: Standing | None = None,
    ) -> None:
        """*standing*: told how it stands with who knows the topics; None when nobody wants to hear."""
        self._spec = spec
        self._source = source
        self._client = client
        self._admin = admin
        self._problem = problem
        self._stop = stop
        self._standing = standing
        self._seldom = Seldom(60)
        self.present: dict[str, int] | None = None
        """What was there at the last look, and how many partitions it had, 0 for a topic without any; None before the
        first."""

    @property
    def label(self) -> str:
        """What the topics are called together, in logs."""
        return self._source.topics_pattern or ", ".join(self._source.names)

    def start(self) -> None:
        """Look every 5 s until the stop, in a daemon thread."""
        threading.Thread(target=self._run, name="topics", daemon=True).start()

    def names(self) -> tuple[str, ...]:
        """The topics by name, there or not; of a pattern those of the last look."""
        return self._source.names or tuple(self.present or ())

    def look(self) -> dict[str, int]:
        """The topics that are there now, and how many partitions each has. A pattern may match none.

        Raises PulsarError, or NoTopicsError when none of the named topics can be read or a pattern cannot be resolved.
        """
        failure: Failure | None
        try:
            self.present, failure = self._named() if self._source.names else self._matching()
        except NoTopicsError as error:
            self._tell(error.failure)
            raise
        self._tell(failure)
        return self.present

    def _tell(self, failure: Failure | None) -> None:
        if self._standing is not None:
            if failure is None:
                self._standing.served()
            else:
                self._standing.failed(failure)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            try:
                self.look()
            except NoTopicsError as error:
                # said by whoever opens the consumer, too: here only what runs is meant
                if self._source.names:
                    self.present = {}
                _log.debug("%s", error)
            except PulsarError as error:
                _log.debug("cannot look for %s: %s", self.label, error)

    def _named(self) -> tuple[dict[str, int], Failure | None]:
        present, problem = {}, None
        for topic in self._source.names:
            try:
                present[topic] = partitions(self._client, topic)
            except (core.TopicNotFound, core.AuthorizationError) as error:
                found = failure_of(error)
                problem = problem or Failure(found.reason, f"{topic} cannot be read: {found.text}")
                self._problem(topic, found.reason)
                if self._seldom(f"{topic} {found.reason}"):
                    _log.warning("%s cannot be read: %s", topic, found)
        if not present and problem is not None:
            raise NoTopicsError(problem)
        return present, problem

    def _matching(self) -> tuple[dict[str, int], Failure | None]:
        try:
            listed = self._admin.topics(self._source.namespace)
        except ADMIN_TROUBLE as error:
            text = f"cannot ask {self._admin.url} which topics match {self.label}: {failure_of(error)}"
            failure = Failure("TopicsUnknown", text)
            if self.present is None:
                raise NoTopicsError(failure) from None
            return self.present, failure
        return {topic: number for topic, number in listed.items() if self._spec.consumes(topic)}, None
