"""The kit for people who write tasks."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it reads as what a task does
    """Raise it in a task to refuse its input for good: no retry, a dead letter with the reason.

    >>> raise Refused("the flight was cancelled")
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One sentence for people; it stands in the dead letter as `HEADRACE_ERROR`."""
