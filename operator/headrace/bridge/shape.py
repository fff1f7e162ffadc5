"""Key, properties and event time that ``sink.pulsar`` selects for a message. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.bridge.message import Message, PoisonError
from headrace.bridge.routing import Routing
from headrace.bridge.selector import finder, key_of, needs_json, parse_as_before, parse_json, text_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LAST = 2**63

Shape = Callable[[Message], None]
"""Completes a message; raises :class:`PoisonError`."""


def milliseconds(value: Any) -> int:
    """Milliseconds since the epoch, of a JSON number of them or of an RFC 3339 string; raise ``ValueError``."""
    if isinstance(value, str):
        when = datetime.fromisoformat(value.upper())
        if when.tzinfo is None:
            raise ValueError("it has no offset from UTC")
        found = (when - _EPOCH) // _MILLISECOND
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = int(value)
    else:
        raise ValueError("it is neither a number nor a string")
    if not 0 < found < _LAST:
        raise ValueError("it lies out of range")
    return found


def shaper(routing: Routing) -> Shape | None:
    """What *routing* wants of each message; None when it wants nothing."""
    expressions = [*([routing.key] if routing.key else []), *routing.properties.values()]
    if routing.event_time:
        expressions.append(routing.event_time)
    if not expressions:
        return None
    wants_json = any(needs_json(expression) for expression in expressions)
    find_key = finder(routing.key) if routing.key else None
    find_time = finder(routing.event_time) if routing.event_time else None
    find_properties = [(name, finder(expression)) for name, expression in routing.properties.items()]
    exact = routing.rules > 0
    parse = parse_json if exact else parse_as_before

    def shape(message: Message) -> None:
        value = parse(message.payload) if wants_json else None
        fields = message.properties or {}
        if find_properties:
            found = {name: text_of(find(value, None, fields), ordered=not exact) for name, find in find_properties}
            message.properties = fields | {name: text for name, text in found.items() if text is not None}
        if find_key is not None:
            message.key = key_of(find_key(value, None, fields))
            if not message.key:
                raise PoisonError("KeyMissing", f"the payload has no {routing.key}.")
        if find_time is not None:
            time = find_time(value, None, fields)
            if time is not None:
                message.event_time = _event_time(time, routing.event_time)

    return shape


def _event_time(value: Any, expression: str | None) -> int:
    try:
        return milliseconds(value)
    except (ValueError, OverflowError) as error:
        raise PoisonError(
            "EventTimeInvalid",
            f"{expression} is no time: {error}; it must be milliseconds since 1970, or read 2006-01-02T15:04:05Z.",
        ) from None
