"""A limit on how much happens in a second, for one process."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Says how long to wait so that no more than *per_second* are passed in a second; None: no limit."""

    def __init__(self, per_second: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._next = clock()

    def portion(self, most: int) -> int:
        """How many to take at once, at most *most*: a tenth of a second's worth."""
        return most if self._per_second is None else min(most, max(1, self._per_second // 10))

    def passed(self, number: int) -> float:
        """*number* were passed; returns the seconds to wait before the next."""
        if self._per_second is None:
            return 0.0
        now = self._clock()
        self._next = max(self._next, now) + number / self._per_second
        return self._next - now
