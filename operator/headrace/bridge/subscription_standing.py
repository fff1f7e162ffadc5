"""How the loop of one subscription stands with Valkey and Pulsar, in the parts that readiness tells apart."""

from __future__ import annotations

from collections.abc import Callable, Collection

from headrace.bridge.proof import Proof
from headrace.process.failure import UNREACHABLE, Failure, failure_of
from headrace.process.health import Health, Standing


class SubscriptionStanding:
    """Belongs to the subscription's loop alone."""

    def __init__(self, name: str, opened: Callable[[], Collection[str]], health: Health, proof: Proof) -> None:
        """*name*: of the loop, as people call it. *opened*: the topics of its consumer."""
        self._opened = opened
        self._proof = proof
        self.valkey = health.standing(name, "valkey")
        self.pulsar = health.standing(name, "pulsar", self._said)
        self._unseen = health.standing(f"what the client did not give out of {name}", "pulsar")
        self._readers = health.standing(f"readers of {name}", "pulsar")
        self.seen()
        self.alone()

    def proves_pulsar(self, *, connected: bool) -> bool:
        """Whether Pulsar would give something now. *connected*: whether the consumer is."""
        topic = self._topic  # one of them: a pattern may match thousands
        if connected and (not topic or self._proof.proved(topic)):
            self.pulsar.served()
            return True
        if failure := self._proof.failure(topic, connected=connected):
            self.pulsar.failed(failure)
        return False

    def failed(self, standing: Standing, error: Exception) -> str:
        """A side does not serve the loop; the reason in one word, which names the side where it is not reachable."""
        failure = failure_of(error)
        if standing is self.pulsar and self._topic:
            failure = self._proof.explain(error, self._topic)
        standing.failed(failure)
        return failure.reason if failure.reason != UNREACHABLE.reason else f"{standing.side.title()}Unreachable"

    def hidden(self, why: str) -> None:
        """It is not known what becomes of something that the client did not give out."""
        self._unseen.failed(Failure("Unseen", f"{why}; everything behind it waits"))

    def seen(self) -> None:
        """Everything is known."""
        self._unseen.rest()

    def taken(self, error: Exception) -> str:
        """Others read the subscription, so the loop moves nothing; the reason in one word."""
        self.valkey.rest()
        self.pulsar.rest()
        return self._readers.failed(Failure("SubscriptionTaken", str(error))).reason

    def alone(self) -> None:
        """The subscription is ours."""
        self._readers.rest()

    @property
    def _topic(self) -> str:
        return next(iter(self._opened()), "")

    def _said(self) -> Failure | None:
        return next((said for topic in self._opened() if (said := self._proof.about(topic))), None)
