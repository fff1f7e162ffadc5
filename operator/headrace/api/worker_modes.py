"""The modes of a ValkeyWorker that run plain handlers: channels, polled keys, streams."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from headrace.api.bridge_source import PubSubSource
from headrace.api.model import ApiModel, Rule
from headrace.api.policy import ValkeyKey, at_most_one
from headrace.api.topic import InitialPosition

_HANDLER = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"


class Mode(StrEnum):
    """What kind of worker runs."""

    CELERY = "Celery"
    PUB_SUB = "PubSub"
    POLLING = "Polling"
    STREAM = "Stream"


class Format(StrEnum):
    """How a payload is read."""

    JSON = "JSON"
    RAW = "Raw"


class ScoreUnit(StrEnum):
    """What a score of 1 means."""

    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"


_HANDLER_RULE = Rule(
    cel=f"self.handler.matches('{_HANDLER}')",
    message="handler must read module:attribute, such as shop.handlers:on_order",
    holds=lambda self: bool(re.match(_HANDLER, self.handler)),
)


class HandlerRuntime(ApiModel):
    """How a handler runs: a function of yours that takes one message, sync or async."""

    rules: ClassVar[tuple[Rule, ...]] = (_HANDLER_RULE,)

    handler: Annotated[str, Field(max_length=256)]
    """The function, `module:attribute`, such as `shop.handlers:on_order`. It takes one `headrace.tasks.Message`."""
    format: Format = Format.JSON
    """JSON (the default): the payload is decoded, and one that is not JSON becomes a dead letter. Raw: it is bytes."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 4
    """Messages at once in each pod: threads for a function, coroutines for an async function. Default 4."""
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most messages taken in one step; never more than the pod can start at once. Default 100."""
    lease_seconds: Annotated[int, Field(ge=3, le=3600)] = 15
    """What a pod took goes to another when it is silent for so long. A pod that lives renews it, however long a
    handler runs. Default 15."""


class PubSub(HandlerRuntime, PubSubSource):
    """Handles what is published on Valkey channels. Pub/sub keeps nothing: what is published while no pod is
    subscribed is lost. What was received is shared by the pods and handled like the entries of a list."""

    rules = (_HANDLER_RULE, *PubSubSource.rules)

    buffer_messages: Annotated[int, Field(ge=1, le=2_147_483_647)] = 1_000_000
    """So many messages wait in Valkey for a handler; the newest are dropped, and counted, when there are more.
    Default 1000000."""


class PolledList(ApiModel):
    """A Valkey list, taken from its right end (producers use LPUSH)."""

    key: ValkeyKey
    """The list."""


class PolledSortedSet(ApiModel):
    """A Valkey sorted set; a member is due when its score, a time since 1970, is reached by Valkey's clock."""

    key: ValkeyKey
    """The sorted set."""
    unit: ScoreUnit = ScoreUnit.SECONDS
    """What a score counts: Seconds (the default) or Milliseconds."""


class PolledHash(ApiModel):
    """A Valkey hash; each field is one message, its value the payload. A field that is set again is handled again."""

    key: ValkeyKey
    """The hash."""


class Polling(HandlerRuntime):
    """Looks for messages in a key, at intervals; what was found is taken out."""

    rules = (
        _HANDLER_RULE,
        at_most_one("list", "zset", "hash", needed=True, message="polling needs one of list, zset and hash"),
    )

    list: PolledList | None = None
    """A list."""
    zset: PolledSortedSet | None = None
    """A sorted set, by due time."""
    hash: PolledHash | None = None
    """A hash."""
    interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 1
    """How long to wait when nothing more was found. Default 1."""

    @property
    def key(self) -> str:
        """The key that is looked at."""
        polled = self.list or self.zset or self.hash
        assert polled is not None
        return polled.key


class Stream(HandlerRuntime):
    """Handles the entries of a Valkey stream as a consumer group."""

    rules = (
        _HANDLER_RULE,
        Rule(
            cel="!has(self.format) || self.format == 'JSON' || has(self.payloadField)",
            message="format: Raw needs payloadField, the field that holds the bytes",
            holds=lambda self: self.format is Format.JSON or self.payload_field is not None,
        ),
    )

    key: ValkeyKey
    """The stream."""
    group: ValkeyKey = "headrace"
    """The consumer group, made when missing; `headrace` when left out. What any consumer of it took, and did not
    acknowledge for `leaseSeconds`, is taken over."""
    initial_position: InitialPosition = InitialPosition.EARLIEST
    """Where a new group begins: Earliest (the default) or Latest."""
    payload_field: ValkeyKey | None = None
    """The field that is the payload; the others become headers. All fields as one object of texts when left out."""
    trim: bool = False
    """Remove entries that every group of the stream has acknowledged. Default false."""
