"""A mode: what runs, how messages are moved through it, and whose keys and topics it meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.integration.dataplane import Headrace
from tests.permissions.bed import Scene

Play = Callable[[Scene], None]
"""Starts the mode, moves messages through it in all its ways, and asserts that each arrived."""


@dataclass(frozen=True)
class Trickle:
    """The mode with a few messages at a time, for trying what happens without one right."""

    prepare: Play
    """What it needs before it starts."""
    start: Callable[[Scene], Headrace]
    put: Callable[[Scene, int], None]
    """Give it message *n*, and one that becomes a dead letter where it has these."""
    arrived: Callable[[Scene, int], bool]
    """Whether message *n* arrived, and the dead letter."""


@dataclass(frozen=True)
class Mode:
    """One chapter of the page."""

    name: str
    """Also the name of the resource in its play."""
    title: str
    play: Play
    keys: Mapping[str, str]
    """Patterns that the user names in the resource, as the play has them, and as the page calls them."""
    channels: Mapping[str, str] = field(default_factory=dict)
    """The same of channels."""
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the role may do on which topic. A topic is what the play calls it, see `Scene.topic`."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """What the page calls these topics."""
    seldom: tuple[str, ...] = ()
    """Commands that only run when something rare happens, which the play does not have."""
    scripts: tuple[str, ...] = ()
    """Scripts of which the same is true, by their files."""
    trickle: Trickle | None = None
    note: str = ""
    """What stands under the rule."""
