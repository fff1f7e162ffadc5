"""What a bridge moves once more."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from headrace.api.model import ApiModel, Rule
from headrace.api.policy import Positive, compiles
from headrace.api.replay_match import checked
from headrace.api.topic import TopicName


class ReplayOrigin(StrEnum):
    """Where a replay takes messages from."""

    DEAD_LETTER = "DeadLetter"
    TIMESTAMP = "Timestamp"
    MESSAGE_ID = "MessageId"
    EARLIEST = "Earliest"


class ReplayState(StrEnum):
    """What a replay should do."""

    RUN = "Run"
    PAUSED = "Paused"
    CANCELLED = "Cancelled"


def _time(text: str) -> str:
    try:
        known = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError("time must read like 2026-11-21T12:00:00Z, with its zone")
    return text


ReplayId = Annotated[str, Field(min_length=1, max_length=63, pattern="^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")]


class Replay(ApiModel):
    """Messages that are moved once more: one run for each `id`."""

    rules = (
        Rule(
            cel="has(self.time) == (self.from == 'Timestamp')",
            message="from: Timestamp needs time, such as 2026-11-21T12:00:00Z, and only that needs it",
            holds=lambda self: (self.time is not None) == (self.origin is ReplayOrigin.TIMESTAMP),
        ),
        Rule(
            cel="has(self.messageId) == (self.from == 'MessageId')",
            message="from: MessageId needs messageId, such as 7:42, and only that needs it",
            holds=lambda self: (self.message_id is not None) == (self.origin is ReplayOrigin.MESSAGE_ID),
        ),
        Rule(
            cel="self.from == 'DeadLetter' || !(has(self.target) || has(self.maxReplays))",
            message="target and maxReplays need from: DeadLetter; all else goes to the sink of the bridge",
            holds=lambda self: (
                self.origin is ReplayOrigin.DEAD_LETTER or not {"target", "max_replays"} & self.model_fields_set
            ),
        ),
    )

    id: ReplayId
    """Names the run. An id runs once; a new one is a new run. What the run does cannot change under its id, except for
    `state` and `ratePerSecond`."""
    origin: Annotated[ReplayOrigin, Field(alias="from")]
    """DeadLetter: what lies in the dead-letter topic. A letter that was replayed leaves it. Timestamp, MessageId or
    Earliest: what lies in the source topic from there on, into the sink once more."""
    time: (
        Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(_time)] | None
    ) = None
    """With Timestamp: when the first message was published, such as `2026-11-21T12:00:00Z`."""
    message_id: Annotated[str, Field(max_length=64, pattern="^[0-9]+:[0-9]+(:-?[0-9]+)?$")] | None = None
    """With MessageId: the first message, `LEDGER:ENTRY`, of a topic with partitions `LEDGER:ENTRY:PARTITION`; then that
    partition is replayed alone."""
    match: (
        Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(compiles), AfterValidator(checked)] | None
    ) = None
    """JMESPath on `{payload, key, properties, reason, error, attempts, topic, messageId, publishTime}`, such as
    `reason == 'TaskFailed'`. Whatever it is true for is replayed; everything when left out. A name that no letter has
    is refused, such as a text without its single quotes."""
    limit: Positive | None = None
    """Replay so many at most. All when left out."""
    rate_per_second: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Replay so many a second at most. As fast as possible when left out."""
    target: TopicName | None = None
    """The topic that letters go to. Each goes back to where it came from when left out: the topic in its property
    `REAL_TOPIC`, else the topic of the bridge."""
    max_replays: Annotated[int, Field(ge=1, le=1000)] = 3
    """A letter that was replayed so often stays where it is. Default 3."""
    dry_run: bool = False
    """Only count what would be replayed. Default false."""
    state: ReplayState = ReplayState.RUN
    """Run (the default), Paused, or Cancelled for good."""

    @property
    def digest(self) -> str:
        """What the run does, as a short text: an id stands for one digest."""
        text = self.model_dump_json(by_alias=True, exclude={"state", "rate_per_second"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def refusal(self, *, ended: bool) -> str:
        """What to say when the id stands for another digest."""
        did = "ran" if ended else "was begun"
        return f"Replay {self.id} {did} with other parameters: give another id to what should run now"
