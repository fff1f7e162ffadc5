"""The kit for people who write tasks and handlers."""

from __future__ import annotations

from headrace.tasks.message import Message

__all__ = ["Message", "Refused"]


class Refused(Exception):  # noqa: N818 - it reads as what a task does
    """Raise it in a task or a handler to refuse its input for good: no retry, a dead letter with the reason.

    >>> raise Refused("the flight was cancelled")
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One sentence for people; it stands in the dead letter as `HEADRACE_ERROR`."""
