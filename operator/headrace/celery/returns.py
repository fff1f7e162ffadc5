"""Messages that go back to their queue because the worker stops."""

from __future__ import annotations

from typing import Any


def give_back(message: Any) -> None:
    """Give *message* back as if it had never been taken, where the broker can: its task is not to blame.

    Raises what the broker's client raises.
    """
    uncounted = getattr(message.channel, "give_back", None)
    if uncounted is None:
        message.requeue()
    else:
        uncounted(message.delivery_tag)
