"""A broker that does not answer costs its timeout once, not once for each resource that uses it.

Otherwise a few resources of one dead broker would hold all passes, and everybody else would wait for them.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from headrace.pulsar.errors import PulsarSilentError
from headrace.reconcile.verdicts import BrokerUnreachableError, ValkeyUnreachableError

PAUSE_SECONDS = 5.0
"""After a failure nobody else tries for so long."""

Answer = TypeVar("Answer")


class Outages:
    """Which addresses did not answer a moment ago."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._away: dict[Hashable, tuple[float, Exception]] = {}

    async def ask(self, address: Hashable, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer; the last error again while *address* is known to be away, or while another one tries it."""
        if known := self._away.get(address):
            until, error = known
            if self._clock() < until:
                raise error
            self._pause(address, error)
        try:
            answer = await question()
        except (PulsarSilentError, ValkeyUnreachableError, BrokerUnreachableError) as error:
            self._pause(address, error)
            raise
        self._away.pop(address, None)
        return answer

    def _pause(self, address: Hashable, error: Exception) -> None:
        self._away[address] = (self._clock() + PAUSE_SECONDS, error)
