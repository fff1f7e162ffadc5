"""What the broker said of a topic. The library tells us a class at best; its log has the broker's own words.

A producer that cannot be opened because its namespace wants encrypted messages ends in `Timeout`, after 15 s, and one
that was cut off says nothing at all.
"""

from __future__ import annotations

import re
import time

from headrace.process.failure import Failure, failure_named

HEARD_SECONDS = 90.0
"""The library tries a broker that is away once a minute, at last."""

_ANSWER = re.compile(r"Received error response from server: (?:Result)?(?P<name>\w+) \((?P<text>.*)\) -- req_id: \d+$")
_TOPIC = re.compile(
    r"^\[(?P<topic>persistent://[^,\]]+), [^\]]*\] (?:Failed to (?:re)?connect|Failed to create|Temporary error in"
    r" creating) (?:producer|consumer): (?:Result)?(?P<name>\w+) ?(?P<text>.*)$"
)
_HANDSHAKE = re.compile(r"Handshake failed: (?P<text>.*)$")
_JAVA = re.compile(r"\b(?:[a-z]\w*\.)+(?:\w+\$)?(\w+(?:Exception|Error))\b")
_PARTITION = re.compile(r"-partition-\d+$")


class BrokerWords:
    """The last words on each topic. One thread hears, others ask."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}
        """The text of the last answer by the name of its error: of consumers the next line has the name alone."""
        self._heard: dict[str, tuple[float, Failure]] = {}
        self._handshake: tuple[float, Failure] | None = None

    def hear(self, line: str) -> None:
        """A line of the library's log."""
        if found := _ANSWER.search(line):
            self._answers = {found["name"]: found["text"]}
        elif found := _TOPIC.match(line):
            text = found["text"] or self._answers.get(found["name"], "")
            topic = _PARTITION.sub("", found["topic"])
            failure = failure_named(found["name"], _JAVA.sub(r"\1", text))
            self._heard = {**self._heard, topic: (time.monotonic(), failure)}
        elif found := _HANDSHAKE.search(line):
            self._handshake = time.monotonic(), failure_named("ConnectError", found["text"])

    def forget(self, topic: str) -> None:
        """*topic* is served."""
        if topic in self._heard or self._handshake:
            self._handshake = None
            self._heard = {known: said for known, said in self._heard.items() if known != topic}

    def about(self, topic: str) -> Failure | None:
        """Why *topic* has not been served lately; None when nothing was said."""
        now = time.monotonic()
        known = [each for each in (self._heard.get(topic), self._handshake) if each and now - each[0] < HEARD_SECONDS]
        return max(known, key=lambda each: each[0])[1] if known else None
