"""The topics of a replay: a run belongs to those that it began with.

Its positions say nothing of another topic of the same name, one that was made anew or that of another Pulsar cluster.
Such a run ends, and says so: what the other topic holds stays where it is, for a run with another id.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.bridge.batch import Position
from headrace.bridge.incarnation import Incarnations, Verdict, Witness
from headrace.bridge.pulsar_library import Client
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.replay_run import RunStore, UnrunnableError


class ReplayTopics:
    """Of one run after the other."""

    def __init__(self, client: Client, raw: RawTopics, subscription: str) -> None:
        """*subscription*: as for :class:`Incarnations`."""
        self._incarnations = Incarnations(client, raw, subscription)

    def witnesses(self, ends: Mapping[str, Position]) -> dict[str, Witness]:
        """The messages at *ends*, by partition, where there are any. Raises PulsarError."""
        found = {name: self._incarnations.last_of(name, end[:2]) for name, end in ends.items() if end[0] >= 0}
        return {name: witness for name, witness in found.items() if witness is not None}

    def check(self, run: RunStore) -> None:
        """Raises :class:`UnrunnableError` when a topic is another one than the run began with, and PulsarError."""
        for name, end in run.ends.items():
            witness = run.witness(name)
            if witness is not None and self._incarnations.judge(name, end, witness) is Verdict.OTHER:
                raise UnrunnableError(
                    f"{name} was made anew, or is that of another Pulsar cluster, since the run began:"
                    " what it holds stays there. Give spec.replay another id"
                )
