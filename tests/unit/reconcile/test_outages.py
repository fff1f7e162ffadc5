import pytest

from headrace.pulsar.errors import PulsarSilentError, PulsarUnreachableError
from headrace.reconcile.outages import PAUSE_SECONDS, Outages


class Broker:
    """Counts who asks it, and fails as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def answer(self) -> str:
        """One answer."""
        self.asked += 1
        if self.error:
            raise self.error
        return "fine"


async def test_p7_a_dead_broker_is_asked_once_in_a_while() -> None:
    now = [0.0]
    outages, broker = Outages(lambda: now[0]), Broker()
    broker.error = PulsarSilentError("away")
    for _ in range(5):
        with pytest.raises(PulsarSilentError):
            await outages.ask("a", broker.answer)
    assert broker.asked == 1
    now[0] += PAUSE_SECONDS
    broker.error = None
    assert await outages.ask("a", broker.answer) == "fine"
    assert await outages.ask("a", broker.answer) == "fine"
    assert broker.asked == 3


async def test_other_addresses_and_other_errors_are_no_outage() -> None:
    outages, dead, alive = Outages(lambda: 0.0), Broker(), Broker()
    dead.error = PulsarSilentError("away")
    with pytest.raises(PulsarSilentError):
        await outages.ask("dead", dead.answer)
    assert await outages.ask("alive", alive.answer) == "fine"
    alive.error = PulsarUnreachableError("one topic cannot be served now")
    for _ in range(2):
        with pytest.raises(PulsarUnreachableError):
            await outages.ask("alive", alive.answer)
    assert alive.asked == 3


async def test_while_one_tries_again_the_others_do_not_wait() -> None:
    now = [0.0]
    outages, broker = Outages(lambda: now[0]), Broker()
    broker.error = PulsarSilentError("away")
    with pytest.raises(PulsarSilentError):
        await outages.ask("a", broker.answer)
    now[0] += PAUSE_SECONDS

    async def ask_inside() -> str:
        with pytest.raises(PulsarSilentError):
            await outages.ask("a", broker.answer)
        return "fine"

    assert await outages.ask("a", ask_inside) == "fine"
    assert broker.asked == 1
