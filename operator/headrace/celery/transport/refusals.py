"""What Valkey does not do for this process now, and why: told in the log, in `/readyz` and in a count."""

from __future__ import annotations

import logging

from redis.exceptions import ResponseError

from headrace.process.failure import Failure, failure_of
from headrace.process.logs import Seldom

RECORDS = "Valkey does not take a record, or a message that goes back"
LISTS = "Valkey gives no messages"
WAITING = "Valkey does not tell when a list has messages"
UNKNOWN = "Valkey does not take back messages that nobody here knows of"
ORPHANS = "Valkey does not take back the messages of workers that are gone"
STOCK = "Valkey does not take back what workers with Celery's own transport left"

_log = logging.getLogger(__name__)
_seldom = Seldom()
_present: dict[tuple[str, str], str] = {}
_count = 0


def note(who: str, what: str, why: str | bytes) -> None:
    """Valkey does not do *what*, one of the sentences above, for *who*; it does so now when *why* is empty."""
    global _count
    if not why:
        _present.pop((who, what), None)
        return
    text = why.decode(errors="replace") if isinstance(why, bytes) else why
    _present[who, what] = text
    _count += 1
    if _seldom(text):
        _log.warning("%s (%s); trying again", what, text)


def forget(who: str) -> None:
    """*who* is gone."""
    for key in [key for key in _present if key[0] == who]:
        _present.pop(key, None)


def present() -> Failure | None:
    """What Valkey does not do now, and why; None when it does all."""
    found = sorted({(what, why) for (_, what), why in list(_present.items())})
    if not found:
        return None
    failures = [(what, failure_of(ResponseError(why))) for what, why in found]
    return Failure(failures[0][1].reason, "; ".join(f"{what}: {failure.text}" for what, failure in failures))


def count() -> int:
    """How often it did not."""
    return _count
