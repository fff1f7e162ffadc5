"""A replay of the source topics: read from a position on, push to the sink once more. Each message once, through any
crash.

A reader of its own reads, so that the bridge's subscription stays where it is. Batches are pushed like the bridge's
own, with a watermark of the run's; then the run's position follows. What is read again after a crash lies below the
watermark.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.replay import Replay
from headrace.bridge.admin import PulsarAdmin
from headrace.bridge.batch import NOWHERE, Batch, Position, position
from headrace.bridge.cursor import Place
from headrace.bridge.dead_letters import Found
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.headers import Headers
from headrace.bridge.judgement import Fate
from headrace.bridge.left_out import LeftOuts
from headrace.bridge.letter import UnreplayableError
from headrace.bridge.matching import Matcher
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.pace import Pace
from headrace.bridge.preparation import preparer
from headrace.bridge.pulsar_library import Client
from headrace.bridge.raw_topic import RawTopics
from headrace.bridge.replay_run import LAST_INDEX, RunStore, UnrunnableError
from headrace.bridge.source_topics import SourceTopics
from headrace.bridge.topic_reader import PATIENCE_SECONDS, TopicReader

MOST_AT_ONCE = 1000
BEGINNING: Place = (-1, -1)
"""Before a topic's first entry."""
FULL_SECONDS = 0.1


class PositionReplay:
    """One run, from where it stands to the ends of the topics as they were when it began."""

    def __init__(
        self,
        bridge: PulsarBridge,
        replay: Replay,
        run: RunStore,
        client: Client,
        admin: PulsarAdmin,
        raw: RawTopics,
        topics: SourceTopics,
        store: DeliveryStore,
        prefix: str,
        metrics: BridgeMetrics,
        turn: Callable[[float], bool],
    ) -> None:
        self._replay = replay
        self._run = run
        self._client = client
        self._admin = admin
        self._left_outs = LeftOuts(raw)
        self._topics = topics
        self._store = store
        self._headers = Headers(raw)
        self._prepare = preparer(bridge, prefix, self._headers, replay.id)
        self._matcher = Matcher(replay.match, run.seen)
        self._metrics = metrics
        self._turn = turn
        self._pace = Pace(replay.rate_per_second)

    def ends(self) -> dict[str, Position]:
        """Where each partition ends now.

        Raises ``UnrunnableError``, ``NoTopicsError``, and ``TopicMissingError`` when a topic went this moment.
        """
        if self._replay.time and datetime.fromisoformat(self._replay.time).timestamp() > time.time():
            raise UnrunnableError(f"time lies in the future: {self._replay.time}")
        names = [each for topic in self._topics.look() for each in self._client.get_topic_partitions(topic)]
        if self._replay.message_id:
            names = _of_message(self._replay.message_id, names)
        return {name: (*self._admin.last_message(name), LAST_INDEX) for name in names}

    def complaint(self) -> str:
        """What is odd about what `match` chose; empty when nothing is."""
        matched = self._run.count("matched")
        return self._matcher.complaint(matched, matched + self._run.count("skipped"))

    def run(self) -> bool:
        """Replay; False when the stop came first."""
        self._store.load()
        return all(self._partition(name, end) for name, end in sorted(self._run.ends.items()) if not self._is_full())

    def _is_full(self) -> bool:
        return self._replay.limit is not None and self._run.done >= self._replay.limit

    def _partition(self, name: str, end: Position) -> bool:
        if end[0] < 0 or self._run.position(name) >= end:
            return True
        with closing(self._reader(name)) as reader:
            while not self._is_full() and reader.has_more():
                found = _receive(reader, self._pace.portion(MOST_AT_ONCE))
                if not found and reader.silent_seconds > PATIENCE_SECONDS:
                    break  # what is left is such as no reader ever gets
                inside = [each for each in found if self._run.position(name) < each.position <= end]
                passed = self._take(name, inside) if inside else 0
                if passed is None or not self._turn(self._pace.passed(passed)):
                    return False
                if found and found[-1].position[:2] > end[:2]:
                    break
        if not self._is_full():
            self._leave_out(name, end)
        return True

    def _leave_out(self, name: str, end: Position) -> None:
        """Tell of what was not given out at the end of the partition."""
        left = self._left_outs.among(name, self._behind(name), [(end[0], end[1] + 1)], self._since)
        if left:
            failed = sum(each.messages for each in left)
            self._run.settle(name, end, failed=failed)
            self._metrics.replayed.labels(status=Fate.FAILED.value).inc(failed)
            self._run.note(problem=left[-1].problem)

    @property
    def _since(self) -> int:
        """When what is replayed was published at the earliest, in milliseconds since 1970; 0 for any time."""
        return int(datetime.fromisoformat(self._replay.time).timestamp() * 1000) if self._replay.time else 0

    def _behind(self, name: str) -> Place | None:
        """The entry behind which the run goes on; None when that is not known."""
        at = self._run.position(name)
        if at != NOWHERE:
            return at[:2]
        if self._replay.message_id:
            ledger, entry = self._replay.message_id.split(":")[:2]
            return int(ledger), int(entry) - 1
        return None if self._replay.time else BEGINNING

    def _reader(self, name: str) -> TopicReader:
        """A reader that begins where the run stands, or a little before."""
        at = self._behind(name)
        if at is None:
            return TopicReader(self._client, name, None, since=self._since)
        if self._run.position(name) == NOWHERE:
            at = None if at == BEGINNING else (at[0], at[1] + 1)
        return TopicReader(self._client, name, at)

    def _take(self, name: str, found: Sequence[Found]) -> int | None:
        """Deal with *found*; returns how many were replayed, or None when the stop came first."""
        chosen, skipped, problems, last = self._chosen(found)
        places = dict.fromkeys(each.position[:2] for each in found if each.position <= last.position)
        left = self._left_outs.among(name, self._behind(name), list(places), self._since)
        failed = 0
        if chosen and not self._replay.dry_run:
            batch = self._prepare([each.message for each in chosen])
            failed = len(batch.reasons())
            if not self._push(batch):
                return None
            self._headers.rest()
        replayed = 0 if self._replay.dry_run else len(chosen) - failed
        failed += len(problems) + sum(each.messages for each in left)
        problems += [each.problem for each in left]
        self._run.settle(name, last.position, matched=len(chosen), skipped=skipped, failed=failed, replayed=replayed)
        for fate, number in ((Fate.REPLAYED, replayed), (Fate.SKIPPED, skipped), (Fate.FAILED, failed)):
            self._metrics.replayed.labels(status=fate.value).inc(number)
        self._run.note(message="", seen=self._matcher.noted, **({"problem": problems[-1]} if problems else {}))
        return replayed

    def _chosen(self, found: Sequence[Found]) -> tuple[list[Found], int, list[str], Found]:
        """What matches, as far as the limit goes; how much does not; why others cannot; and how far that goes."""
        room = len(found) if self._replay.limit is None else self._replay.limit - self._run.done
        chosen: list[Found] = []
        problems: list[str] = []
        skipped = 0
        last = found[0]
        for each in found:
            last = each
            try:
                matches = self._replay.match is None or self._matcher(each.letter, each.topic)
            except UnreplayableError as problem:
                problems.append(f"{each.name} is left out: {problem}")
                continue
            except UnicodeDecodeError:
                problems.append(f"{each.name} is left out: its key or a property is not UTF-8.")
                continue
            if not matches:
                skipped += 1
                continue
            chosen.append(each)
            if len(chosen) == room:
                break
        return chosen, skipped, problems, last

    def _push(self, batch: Batch) -> bool:
        """Push everything, however long the target stays full; False when the stop came first."""
        rest = batch
        while rest:
            rest = self._store.push(rest).rest
            if rest:
                self._run.note(message="Waits: the sink is full")
                if not self._turn(FULL_SECONDS):
                    return False
        return True


def _receive(reader: TopicReader, most: int) -> list[Found]:
    """What is there, at most *most* messages; it waits a second for the first."""
    found: list[Found] = []
    while len(found) < most and (not found or reader.has_more()):
        message = reader.read()
        if message is None:
            break
        found.append(Found(message, position(message.message_id())))
    return found


def _of_message(identity: str, names: list[str]) -> list[str]:
    """The partition of *names* that the message *identity*, ``ledger:entry[:partition]``, lies in."""
    parts = identity.split(":")
    if len(names) == 1 and (len(parts) == 2 or parts[2] in ("-1", "0")):
        return names
    if len(parts) == 2:
        raise UnrunnableError(f"the topic has {len(names)} partitions: write messageId as {identity}:PARTITION")
    found = [name for name in names if name.endswith(f"-partition-{parts[2]}")]
    if not found:
        raise UnrunnableError(f"the topic has no partition {parts[2]}")
    return found
