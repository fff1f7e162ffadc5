"""What becomes of cuts that were in flight before: what of them is in Pulsar, and where the rest goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from headrace.bridge.cut import Cut
from headrace.bridge.frame import Frame, frames
from headrace.bridge.layouts import Layouts
from headrace.bridge.publisher import Publisher
from headrace.bridge.pulsar_library import Client
from headrace.bridge.routing import Routing, Target
from headrace.bridge.tail import last_landed


class Landings:
    """Of one line. *waiting* is called about once a second while the end of a topic is read."""

    def __init__(self, client: Client, publisher: Publisher, layouts: Layouts, waiting: Callable[[], None]) -> None:
        self._client = client
        self._publisher = publisher
        self._layouts = layouts
        self._waiting = waiting

    def missing(self, cut: Cut, parts: list[Frame]) -> list[Frame]:
        """What of *cut* must be sent again, as far as the broker will not tell itself. Raises ``PulsarError``."""
        missing = []
        found: dict[tuple[str, str], int] = {}
        for frame in parts:
            if self._publisher.open(frame.topic, frame.way, frame.producer) >= 0:
                missing.append(frame)  # the broker remembers this producer's batches and drops what it has
                continue
            landed = sum(sequence_id <= self._landed(cut, frame, found) for sequence_id, _ in frame.messages)
            if landed < len(frame.messages):
                missing.append(replace(frame, messages=frame.messages[landed:]))
        return missing

    def are_stranded(self, cuts: Sequence[Cut], routing: Routing) -> bool:
        """Whether topics that *cuts* go to are gone, and are not those of the present *routing*. Raises
        ``PulsarError``."""
        targets = {cut.routing.dead_letter if frame.dead else cut.routing.sink for cut in cuts for frame in frames(cut)}
        return not all(self._stands(target, routing) for target in targets)

    def rerouted(self, cut: Cut, routing: Routing) -> Routing:
        """The route of *cut* under the names and topics of the present *routing*, where its own are gone. What has
        landed in topics that still stand stays there; what landed in others is gone with them. Raises ``PulsarError``.
        """
        own = cut.routing
        sink = own.sink if self._stands(own.sink, routing) else routing.sink
        dead_letter = own.dead_letter if self._stands(own.dead_letter, routing) else routing.dead_letter
        standing = {topic for target in (sink, dead_letter) for topic in target.topics}
        landed = set(cut.landed)
        found: dict[tuple[str, str], int] = {}
        for frame in frames(cut):
            if frame.topic in standing:
                highest = self._landed(cut, frame, found)
                landed |= {sequence_id for sequence_id, _ in frame.messages if sequence_id <= highest}
        return replace(
            own,
            sink=sink,
            dead_letter=dead_letter,
            installation=routing.installation,
            named_from=cut.first if own.named_from is None else own.named_from,
            landed=tuple(sorted(sequence_id - cut.first for sequence_id in landed)),
        )

    def _stands(self, target: Target, routing: Routing) -> bool:
        return target in (routing.sink, routing.dead_letter) or self._layouts.stands(target)

    def _landed(self, cut: Cut, frame: Frame, found: dict[tuple[str, str], int]) -> int:
        mark = frame.topic, frame.cut
        if mark not in found:
            found[mark] = last_landed(self._client, *mark, cut.made, self._waiting, cut.last)
        return found[mark]
