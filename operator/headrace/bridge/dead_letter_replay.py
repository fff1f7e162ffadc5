"""A replay of the dead-letter topic: read, choose, send, settle, acknowledge. Each letter goes back once, through any
crash, and leaves the dead letters only when its target has it.

Before anything is sent Valkey holds which letters go where; afterwards one script counts what arrived and moves the
position; then those letters are acknowledged. Whoever comes after a crash looks in the targets what of that arrived.
Letters that come again below the position were dealt with: those that arrived are acknowledged, the others stay.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION, PulsarBridge
from headrace.api.replay import Replay
from headrace.bridge.admin import PulsarAdmin, TopicMissingError
from headrace.bridge.batch import Position
from headrace.bridge.cursor import Cursor, Span, without
from headrace.bridge.dead_letters import MOST_AT_ONCE, DeadLetters, Found
from headrace.bridge.headers import Headers
from headrace.bridge.judgement import Fate, Judge, Judgement
from headrace.bridge.left_out import LeftOut, LeftOuts
from headrace.bridge.matching import Matcher
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.pace import Pace
from headrace.bridge.pulsar_library import Client, TopicNotFoundError
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.replay_flight import Departure
from headrace.bridge.replay_run import LAST_INDEX, RunStore
from headrace.bridge.way_back import Parcel, WayBack

STALL_SECONDS = 3.0
"""When nothing came for so long, though the topic goes on, it is looked for what the client keeps to itself."""


class DeadLetterReplay:
    """One run, from where it stands to the end of the topic as it was when the run began."""

    def __init__(
        self,
        bridge: PulsarBridge,
        replay: Replay,
        run: RunStore,
        client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        way: WayBack,
        metrics: BridgeMetrics,
        turn: Callable[[float], bool],
        limit_bytes: int,
    ) -> None:
        self._topic = bridge.spec.dead_letter_topic
        self._replay = replay
        self._run = run
        self._client = client
        self._admin = admin
        self._headers = Headers(raw)
        self._raw = raw
        self._way = way
        self._metrics = metrics
        self._turn = turn
        self._matcher = Matcher(replay.match, run.seen)
        self._judge = Judge(bridge, replay, self._matcher, limit_bytes)
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
        with DeadLetters(self._client, self._headers, name, DEAD_LETTER_SUBSCRIPTION) as letters:
            heard, queue = time.monotonic(), 0
            while not self._is_full():
                found = letters.receive(self._pace.portion(MOST_AT_ONCE))
                if found:
                    heard = time.monotonic()
                elif time.monotonic() - heard > STALL_SECONDS and (hidden := self._hidden(name, letters, end)) > queue:
                    queue, heard = hidden, time.monotonic()
                    letters.lengthen(2 * MOST_AT_ONCE + hidden)
                    continue
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
            if not self._is_full():
                self._leave_out(name, letters, end)
        return True

    def _unseen(self, name: str, letters: DeadLetters, end: Position) -> list[Span]:
        """Entries that wait in the partition and did not come."""
        cursor = Cursor.parse(self._admin.internal_stats(name)[name], DEAD_LETTER_SUBSCRIPTION)
        if cursor is None:
            return []
        _, waiting = cursor.split(list(cursor.between(cursor.mark, (end[0], end[1] + 1))))
        return without(waiting, letters.received)

    def _hidden(self, name: str, letters: DeadLetters, end: Position) -> int:
        """How many letters that the client does not give out stand in the way of others."""
        return sum(each.messages for each in self._left_out(name, self._unseen(name, letters, end)))

    def _left_out(self, name: str, spans: Sequence[Span]) -> list[LeftOut]:
        found = LeftOuts(self._raw)
        return [
            each
            for span in spans
            for each in found.between(name, (span.ledger, span.first - 1), (span.ledger, span.last + 1))
        ]

    def _leave_out(self, name: str, letters: DeadLetters, end: Position) -> None:
        """Tell of letters that did not come, and stay."""
        left = self._left_out(name, self._unseen(name, letters, end))
        if left:
            failed = sum(each.messages for each in left)
            self._run.settle(name, end, failed=failed)
            self._tell(Counter({Fate.FAILED: failed}), 0, [left[-1].problem])

    def _take(self, name: str, letters: DeadLetters, found: list[Found]) -> int:
        """Deal with *found*; returns how many were replayed."""
        at = self._run.position(name)
        known = self._run.remembered([each.identity for each in found])
        letters.acknowledge([each for each in found if each.identity in known])
        fresh = [each for each in found if each.position > at]
        if not fresh:
            return 0
        judged = self._judged(fresh, known)
        going = [pair for pair in judged if pair[1].message is not None]
        refused = {} if self._replay.dry_run else self._send(name, going)
        arrived = [] if self._replay.dry_run else [each for each, _ in going if each.identity not in refused]
        counts = Counter(judgement.fate for _, judgement in judged)
        counts[Fate.REPLAYED] -= len(refused)
        counts[Fate.FAILED] += len(refused)
        self._run.settle(
            name,
            judged[-1][0].position,
            [each.identity for each in arrived],
            matched=counts[Fate.REPLAYED],
            skipped=counts[Fate.SKIPPED],
            failed=counts[Fate.FAILED],
        )
        letters.acknowledge(arrived)
        problems = [judgement.problem for _, judgement in judged if judgement.problem]
        problems += [f"{each.name} stays: {refused[each.identity]}." for each, _ in going if each.identity in refused]
        self._tell(counts, len(arrived), problems)
        return len(arrived)

    def _send(self, partition: str, going: list[tuple[Found, Judgement]]) -> dict[str, str]:
        """Send letters, and return when all is known of them: why some will not arrive, by identity."""
        if not going:
            return {}
        names = {f"{partition}|{each.identity}": each.identity for each, _ in going}
        self._run.depart(
            [Departure(mark, name, one.target) for (mark, name), (_, one) in zip(names.items(), going, strict=True)]
        )
        parcels = [
            Parcel(mark, one.target, one.message)
            for mark, (_, one) in zip(names, going, strict=True)
            if one.message is not None
        ]
        return {names[mark]: why for mark, why in self._way.send(parcels).items()}

    def _judged(self, fresh: list[Found], known: set[str]) -> list[tuple[Found, Judgement]]:
        """Judgements, in order, as far as the limit goes."""
        room = self._replay.limit - self._run.done if self._replay.limit is not None else None
        judged: list[tuple[Found, Judgement]] = []
        for each in fresh:
            judgement = Judgement(Fate.REPLAYED) if each.identity in known else self._judgement(each)
            judged.append((each, judgement))
            if room is not None and judgement.message is not None:
                room -= 1
                if not room:
                    break
        return judged

    def _judgement(self, each: Found) -> Judgement:
        try:
            judgement = self._judge(each.letter)
        except UnicodeDecodeError:
            return Judgement(Fate.FAILED, f"{each.name} stays: its key or a property is not UTF-8.")
        if judgement.message is None:
            return judgement
        dry = self._replay.dry_run
        obstacle = self._way.missing(judgement.target) if dry else self._way.obstacle(judgement.target)
        return Judgement(Fate.FAILED, f"{each.name} stays: {obstacle}.") if obstacle else judgement

    def _tell(self, counts: Counter[Fate], replayed: int, problems: list[str]) -> None:
        counted = {Fate.REPLAYED: replayed, Fate.SKIPPED: counts[Fate.SKIPPED], Fate.FAILED: counts[Fate.FAILED]}
        for fate, number in counted.items():
            self._metrics.replayed.labels(status=fate.value).inc(number)
        self._run.note(message="", seen=self._matcher.noted, **({"problem": problems[-1]} if problems else {}))
