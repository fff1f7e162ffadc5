"""What one pass will do. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace.pulsar.plan import Action
from headrace.reconcile.kinds import Reference


@dataclass(frozen=True)
class Apply:
    """One object to write."""

    body: Mapping[str, Any]
    live_uid: str | None
    """uid of the object that is there; None when it is to be made."""
    difference: str | None = None
    """The first field that differs; None when it is to be made."""

    @property
    def reference(self) -> Reference:
        """Which object."""
        return Reference.of(self.body)


@dataclass(frozen=True)
class Delete:
    """One object of ours that is not wanted any more."""

    reference: Reference
    uid: str


@dataclass(frozen=True)
class Event:
    """One Kubernetes event on the resource."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """All writes of one pass, and when to come again."""

    status: Mapping[str, Any]
    """The whole status, as it should stand afterwards."""
    apply: tuple[Apply, ...] = ()
    delete: tuple[Delete, ...] = ()
    pulsar: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    problems: tuple[Exception, ...] = ()
    """What is wrong; the first stands in Ready."""
    requeue_after: float | None = None
    """Seconds; None: when something changes, or with the periodic pass."""

    @property
    def writes(self) -> bool:
        """Whether anything but the status is to be written."""
        return bool(self.apply or self.delete or self.pulsar)
