"""What was gathered for one pass: all that a plan may know. Values only; no secret is in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.desired.inputs import Inputs
from headrace.pulsar.facts import PulsarFacts
from headrace.reconcile.kinds import Reference
from headrace.reconcile.valkey_facts import ValkeyFacts


@dataclass(frozen=True)
class PodFacts:
    """One pod of a workload."""

    name: str
    ready: bool
    failure: str | None = None
    """What its container said last, or why it does not start; None when nothing is known to be wrong."""
    waiting: str | None = None
    """Why it is not scheduled; None when it is."""


@dataclass(frozen=True)
class Numbers:
    """Live counts. None: not known now, or not a number of this kind of resource."""

    backlog: int | None = None
    in_flight: int | None = None
    dead_letters: int | None = None
    outbox: int | None = None
    consumers: int | None = None
    queues: tuple[tuple[str, int], ...] = ()
    replay: Mapping[str, str] | None = None
    """The run of the spec's replay as the pods wrote it down; empty before they did."""
    open_circuits: tuple[tuple[str, str], ...] | None = None
    """Destinations whose circuit breaker is not closed, and what they said."""
    rate_limited: bool | None = None
    """Whether the rate limit held messages back lately."""
    valkey: ValkeyFacts | None = None
    """What Valkey says of itself."""


@dataclass(frozen=True)
class Snapshot:
    """One moment, as far as one resource is concerned."""

    body: Mapping[str, Any]
    """The resource as the API server has it."""
    inputs: Inputs
    """What the desired objects depend on beside the resource."""
    children: Mapping[Reference, Mapping[str, Any]] = field(default_factory=dict)
    """Objects owned by the resource, and whatever else has the name of a desired child."""
    pods: tuple[PodFacts, ...] = ()
    pulsar: PulsarFacts | None = None
    """None when the resource needs nothing of Pulsar, or when it could not be asked."""
    numbers: Numbers = field(default_factory=Numbers)
    departed: frozenset[str] = frozenset()
    """Owners of Pulsar policies that exist no more."""
    circle: tuple[str, ...] = ()
    """The bridges by which messages of this one come back to it."""
    sharers: tuple[tuple[str, str], ...] = ()
    """Who else takes from the bridge's source, and what that is."""
    problems: tuple[Exception, ...] = ()
    """What went wrong while gathering; each has a verdict."""
