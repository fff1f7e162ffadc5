"""How one line stands with Valkey and Pulsar, in the parts that readiness tells apart."""

from __future__ import annotations

from valkey.exceptions import ResponseError

from headrace.bridge.lines import Line
from headrace.bridge.proof import Proof
from headrace.process.failure import Failure
from headrace.process.health import Health

NOT_DURABLE_SECONDS = 6.0
"""An answer to WAITAOF takes two to four seconds."""
NOT_DURABLE = Failure(
    "NotDurable", "what was cut is not yet where delivery.durability wants it: see its disk, and its replicas"
)


class LineStanding:
    """Belongs to the line's loop alone."""

    def __init__(self, name: str, line: Line, health: Health, proof: Proof) -> None:
        """*name*: of the loop, as people call it."""
        self._topic = line.sink_topic
        self._dead_letter_topic = line.dead_letter_topic
        self._proof = proof
        self.valkey = health.standing(name, "valkey")
        self.pulsar = health.standing(name, "pulsar", lambda: proof.about(line.sink_topic))
        self._letters = health.standing(f"dead letters of {name}", "pulsar")
        self._channel = health.standing(f"announcements of {name}", "valkey")
        self._parts_at_rest()

    def stood_by(self) -> None:
        """Another replica moves the line, and this one could."""
        self.valkey.served()
        self.proves_pulsar(connected=True)
        self._parts_at_rest()

    def proves_pulsar(self, *, connected: bool) -> bool:
        """Whether Pulsar would take something now. *connected*: whether the producers are."""
        if self._proof.proved(self._topic) and connected:
            self.pulsar.served()
            return True
        self.awaits_pulsar(connected=connected)
        return False

    def awaits_pulsar(self, *, connected: bool) -> None:
        """Something was sent and is not confirmed yet."""
        if failure := self._proof.failure(self._topic, connected=connected):
            self.pulsar.failed(failure)

    def pulsar_failed(self, error: Exception) -> None:
        """Pulsar does not take what the line has."""
        self.pulsar.failed(self._proof.explain(error, self._topic))

    def letters(self, error: Exception | None) -> None:
        """Why there is no topic for dead letters; None when there is one: its producers are looked after with the
        others then."""
        if error is None:
            self._letters.rest()
        else:
            self._letters.failed(self._proof.explain(error, self._dead_letter_topic))

    def announced(self, refusal: str) -> None:
        """What Valkey said to the last announcement; empty when nothing is wrong."""
        if refusal:
            self._channel.failed(ResponseError(refusal))
        else:
            self._channel.rest()

    def awaits_durability(self, seconds: float) -> None:
        """What was cut is not durable yet, for so long."""
        if seconds > NOT_DURABLE_SECONDS:
            self.valkey.failed(NOT_DURABLE)

    def _parts_at_rest(self) -> None:
        self._letters.rest()
        self._channel.rest()
