"""A replay of the dead-letter topic: read, choose, stage, acknowledge. Each letter goes back once, through any crash.

Staging writes the letter's record to an outbox in Valkey and the position in one script; then the letter is
acknowledged. Letters that come again below that position were dealt with: those that were staged are acknowledged
again, the others stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge
from headrace.api.replay import Replay
from headrace.bridge.admin import PulsarAdmin, TopicMissingError
from headrace.bridge.batch import Position
from headrace.bridge.dead_letters import MOST_AT_ONCE, DeadLetters, Found
from headrace.bridge.letter import Fate, Judgement, judge
from headrace.bridge.matching import Matcher
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.pace import Pace
from headrace.bridge.pulsar_library import Client, TopicNotFoundError
from headrace.bridge.replay_lines import ReplayLines
from headrace.bridge.replay_run import LAST_INDEX, RunStore, Staged


class DeadLetterReplay:
    """One run, from where it stands to the end of the topic as it was when the run began."""

    def __init__(
        self,
        bridge: PulsarBridge,
        replay: Replay,
        run: RunStore,
        client: Client,
        admin: PulsarAdmin,
        lines: ReplayLines,
        metrics: BridgeMetrics,
        turn: Callable[[float], bool],
    ) -> None:
        self._topic = bridge.spec.dead_letter_topic
        self._replay = replay
        self._run = run
        self._client = client
        self._admin = admin
        self._lines = lines
        self._metrics = metrics
        self._turn = turn
        self._matcher = Matcher(replay.match, run.seen)
        self._judge = judge(replay, self._matcher, bridge.spec.pulsar_topic, self._topic)
        self._pace = Pace(replay.rate_per_second)

    def ends(self) -> dict[str, Position]:
        """Where each partition ends now; raise ``TopicMissingError`` when there is no such topic."""
        try:
            names = self._client.get_topic_partitions(self._topic)
        except TopicNotFoundError:
            raise TopicMissingError(f"the topic {self._topic} does not exist") from None
        return {name: (*self._admin.last_message(name), LAST_INDEX) for name in names}

    def complaint(self) -> str:
        """What is odd about what `match` chose; empty when nothing is."""
        matched = self._run.count("matched")
        return self._matcher.complaint(matched, matched + self._run.count("skipped"))

    def run(self) -> bool:
        """Replay; False when the stop came first."""
        return all(self._partition(name, end) for name, end in sorted(self._run.ends.items()) if not self._is_full())

    def _is_full(self) -> bool:
        return self._replay.limit is not None and self._run.done >= self._replay.limit

    def _partition(self, name: str, end: Position) -> bool:
        if end[0] < 0 or self._run.position(name) >= end:
            return True
        with DeadLetters(self._client, name, DEAD_LETTER_SUBSCRIPTION) as letters:
            while not self._is_full():
                found = letters.receive(self._pace.portion(MOST_AT_ONCE))
                if not found and self._admin.is_read_to_end(name, DEAD_LETTER_SUBSCRIPTION):
                    letters.catch_up()
                    found = letters.receive(MOST_AT_ONCE, 0)
                    if not found:
                        break
                inside = [each for each in found if each.position <= end]
                passed = self._take(name, letters, inside)
                if len(inside) < len(found):
                    break
                if not self._turn(self._pace.passed(passed)):
                    return False
        return True

    def _take(self, name: str, letters: DeadLetters, found: list[Found]) -> int:
        """Deal with *found*; returns how many were replayed."""
        at = self._run.position(name)
        fresh = [each for each in found if each.position > at]
        known = self._run.remembered([each.name for each in found if each.position <= at])
        letters.acknowledge([each for each in found if each.name in known])
        if not fresh:
            return 0
        judged = self._judged(fresh)
        counts = Counter(judgement.fate for _, judgement in judged)
        going = [] if self._replay.dry_run else [pair for pair in judged if pair[1].fate is Fate.REPLAYED]
        staged = self._run.stage(
            name,
            judged[-1][0].position,
            [Staged(each.name, self._lines.outbox(one.target), one.record) for each, one in going],
            matched=counts[Fate.REPLAYED],
            skipped=counts[Fate.SKIPPED],
            failed=counts[Fate.FAILED],
        )
        letters.acknowledge([each for each, _ in going])
        self._tell(counts, staged, [judgement.problem for _, judgement in judged if judgement.problem])
        return staged

    def _judged(self, fresh: list[Found]) -> list[tuple[Found, Judgement]]:
        """Judgements, in order, as far as the limit goes."""
        room = self._replay.limit - self._run.done if self._replay.limit is not None else None
        judged: list[tuple[Found, Judgement]] = []
        for each in fresh:
            judgement = self._judgement(each)
            judged.append((each, judgement))
            if room is not None and judgement.fate is Fate.REPLAYED:
                room -= 1
                if not room:
                    break
        return judged

    def _judgement(self, each: Found) -> Judgement:
        try:
            return self._judge(each.letter)
        except UnicodeDecodeError:
            return Judgement(Fate.FAILED, f"{each.name} stays: its key or a property is not UTF-8.")

    def _tell(self, counts: Counter[Fate], staged: int, problems: list[str]) -> None:
        counted = {Fate.REPLAYED: staged, Fate.SKIPPED: counts[Fate.SKIPPED], Fate.FAILED: counts[Fate.FAILED]}
        for fate, number in counted.items():
            self._metrics.replayed.labels(status=fate.value).inc(number)
        self._run.note(message="", seen=self._matcher.noted, **({"problem": problems[-1]} if problems else {}))
