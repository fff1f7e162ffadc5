"""Policies that several resources share: retries, deduplication, caching, dead letters, alerts."""

from __future__ import annotations

from typing import Annotated, Any

import jmespath
import jmespath.exceptions
from pydantic import AfterValidator, Field
from pydantic.alias_generators import to_snake

from headrace.api.model import ApiModel, Rule

WINDOW_SECONDS = 86_400
"""How long identities are remembered by default: one day."""


PROPERTIES = "message.properties."
"""What a selector of a message's property begins with; whatever follows is the property's name."""


def _selects(expression: str) -> str:
    if expression.startswith(PROPERTIES):
        return expression
    return compiles(expression)


def compiles(expression: str) -> str:
    """*expression*; raise ``ValueError`` when it is no JMESPath."""
    try:
        jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"not a JMESPath expression: {str(error).splitlines()[0]}") from None
    return expression


Selector = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_selects)]
"""JMESPath on the JSON payload; or `message.key`, `message.properties.NAME`."""

Positive = Annotated[int, Field(ge=1, le=2_147_483_647)]
ValkeyKey = Annotated[str, Field(min_length=1, max_length=512)]


class Backoff(ApiModel):
    """Exponential backoff: `baseSeconds * factor ^ (attempt - 1)`, at most `capSeconds`."""

    base_seconds: Positive = 1
    """Wait before the second attempt. Default 1."""
    factor: Annotated[int, Field(ge=1, le=10)] = 2
    """Growth from one attempt to the next. Default 2."""
    cap_seconds: Positive = 60
    """The longest wait. Default 60."""
    jitter: bool = True
    """Choose each wait at random between half of it and all of it. Default true."""

    def longest_seconds(self, attempt: int) -> float:
        """The wait after failed *attempt* (1 is the first), without jitter."""
        return min(float(self.cap_seconds), self.base_seconds * float(self.factor) ** min(attempt - 1, 64))


class Retry(ApiModel):
    """How often a failing task is tried before it becomes a dead letter."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    """Attempts in all, the first included. Default 5."""
    backoff: Backoff = Backoff()
    """Waits between attempts."""


class Deduplicate(ApiModel):
    """Drop a message whose key was seen inside the window."""

    key: Selector
    """What identifies a message: JMESPath on the JSON payload, or `message.key`, `message.properties.NAME`."""
    window_seconds: Positive = WINDOW_SECONDS
    """How long a key is remembered. Default 86400, one day."""


class Cache(ApiModel):
    """Keep each message's payload in Valkey, under `prefix` + key, for the tasks to read."""

    key: Selector
    """What names the entry: JMESPath on the JSON payload, or `message.key`, `message.properties.NAME`."""
    prefix: Annotated[str, Field(min_length=1, max_length=253)]
    """Put before the key, such as `order:`."""
    ttl_seconds: Positive
    """How long an entry lives."""


MOST_MESSAGES = 7000
"""Valkey's Lua hands at most some 8000 arguments to one command."""


class Batching(ApiModel):
    """How much is moved at once: what the bridge holds in memory is a few times this, whatever waits."""

    max_messages: Annotated[int, Field(ge=1, le=MOST_MESSAGES)] = 4000
    """Most messages. Default 4000."""
    max_bytes: Annotated[int, Field(ge=1024, le=4_194_304)] = 1_048_576
    """Most bytes, unless one message alone is larger. Default 1048576, at most 4 MiB, below what a broker takes."""


class RateLimit(ApiModel):
    """How many messages are moved a second; the rest waits at the source. Nothing is dropped."""

    per_second: Positive
    """Messages a second, by all pods together."""
    burst: Positive | None = None
    """Most messages at once after a pause; `perSecond` when left out."""

    @property
    def most(self) -> int:
        """The effective burst."""
        return self.burst or self.per_second


class CircuitBreaker(ApiModel):
    """Leave a destination that fails again and again alone for a while, then try it with few messages."""

    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures in a row after which it opens. Default 5."""
    open_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long nothing is sent then. Default 30."""
    half_open_probes: Annotated[int, Field(ge=1, le=100)] = 1
    """Batches in a row, of few messages each, that must succeed afterwards before it closes. Default 1."""


class Threshold(ApiModel):
    """Fires when a count stays above `threshold` for `forSeconds`."""

    threshold: Annotated[int, Field(ge=0)] = 10_000
    """The count above which the alert is due. Default 10000."""
    for_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long it must stay above. Default 300."""


class FailureRate(ApiModel):
    """Fires when failures come faster than `ratePerSecond` for `forSeconds`."""

    rate_per_second: Annotated[int, Field(ge=0)] = 5
    """Failures a second above which the alert is due. Default 5."""
    for_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    """How long it must stay above; also the window of the rate, at least 60 s. Default 60."""


class Alerts(ApiModel):
    """The resource's PrometheusRule; made where the Prometheus operator's CRD is installed."""

    enabled: bool = True
    """Default true."""
    backlog: Threshold = Threshold()
    """Too much waiting."""
    failures: FailureRate = FailureRate()
    """Too many failures."""
    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(default_factory=dict, max_length=32)
    """Labels on the PrometheusRule and the PodMonitor, such as the `release` that kube-prometheus-stack selects."""


def at_most_one(*fields: str, needed: bool, message: str) -> Rule:
    """A rule: of *fields* (their names on the wire) exactly one is set, or at most one when not *needed*."""
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)

    def holds(model: Any) -> bool:
        number = sum(getattr(model, to_snake(field)) is not None for field in fields)
        return number == 1 if needed else number <= 1

    return Rule(cel=f"{count} {'==' if needed else '<='} 1", message=message, holds=holds)
