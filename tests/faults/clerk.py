"""The handler of the crash test."""

import time
from typing import Any

from headrace.tasks import Message

SLOW_EVERY, FAILS_EVERY = 97, 11
SLOW_SECONDS = 1.0


def handle(message: Message) -> Any:
    """Return the message; some are slow, some fail at first."""
    payload: Any = message.payload
    if not payload["id"] % SLOW_EVERY:
        time.sleep(SLOW_SECONDS)
    if not payload["id"] % FAILS_EVERY and message.attempt == 1:
        raise ValueError("not at the first attempt")
    return payload
