"""JSON logs on stdout, one object a line, without secrets."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Set
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

SHORTEST_SECRET = 4
"""A shorter secret is no secret, and blotting it out would make the logs unreadable."""


class _Formatter(JsonFormatter):
    """Blots every known secret out of the finished line: messages, arguments and tracebacks of any library."""

    def __init__(self, secrets: Set[str], resource: str) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}",
            style="{",
            datefmt="%Y-%m-%dT%H:%M:%S",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            # Celery hands arguments and results of tasks on as `data`: they are the user's and no log's business
            reserved_attrs=[*RESERVED_ATTRS, "data"],
            static_fields={"resource": resource} if resource else {},
        )
        self.converter = time.gmtime
        self.default_msec_format = "%s.%03dZ"
        self._secrets = secrets

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return f"{super().formatTime(record, datefmt)}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            if len(secret) >= SHORTEST_SECRET:
                for form in (secret, quote(secret, safe="")):
                    line = line.replace(form, "******")
        return line


def configure(secrets: Set[str], resource: str = "", level: int = logging.INFO) -> None:
    """Send all logging to stdout as JSON. *secrets* is a live set: what is added later is hidden too."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter(secrets, resource))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


class Seldom:
    """Lets one message a period through, so that an outage of an hour is not an hour of log lines."""

    def __init__(self, period_seconds: float = 30.0) -> None:
        self._period = period_seconds
        self._last: dict[str, float] = {}

    def __call__(self, text: str) -> bool:
        """Whether *text* is due: it is new, or was let through more than a period ago."""
        now = time.monotonic()
        if now - self._last.get(text, -self._period) < self._period:
            return False
        self._last = {known: at for known, at in self._last.items() if now - at < self._period}
        self._last[text] = now
        return True
