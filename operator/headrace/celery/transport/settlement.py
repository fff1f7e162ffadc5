"""What is to be told to Valkey about messages. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, NamedTuple

from headrace.celery.transport.keys import Push


class Kind(Enum):
    """What becomes of a message."""

    DONE = auto()
    """It is gone; with a record, when there is one."""
    BACK = auto()
    """To the back of its queue, counted as a delivery."""
    RETURNED = auto()
    """To the front of its queue, as if it had never been taken."""


class Settlement(NamedTuple):
    """One message's."""

    kind: Kind
    number: int
    push: Push | None = None


class Settlements:
    """Those that Valkey does not know yet. Any thread may add, one at a time may take."""

    def __init__(self) -> None:
        self._waiting: deque[Settlement] = deque()
        self.add = self._waiting.append

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def numbers(self) -> list[int]:
        """The messages they speak of."""
        return [one.number for one in self._waiting.copy()]

    def take(self) -> list[Settlement]:
        """All that are there."""
        taken: list[Settlement] = []
        pop = self._waiting.popleft
        try:
            while True:
                taken.append(pop())
        except IndexError:
            return taken

    def put_back(self, taken: Iterable[Settlement]) -> None:
        """They could not be told."""
        self._waiting.extendleft(reversed(list(taken)))


def arguments(settlements: Iterable[Settlement]) -> list[Any]:
    """As ``reserve.lua`` takes them: how many of each kind, then each kind's."""
    done: list[Any] = []
    pushed: list[Any] = []
    back: list[Any] = []
    returned: list[Any] = []
    for kind, number, push in settlements:
        if push is not None:
            pushed += (number, *push.arguments())
        elif kind is Kind.DONE:
            done.append(number)
        elif kind is Kind.BACK:
            back.append(number)
        else:
            returned.append(number)
    return [len(done), len(pushed) // 5, len(back), len(returned), *done, *pushed, *back, *returned]
